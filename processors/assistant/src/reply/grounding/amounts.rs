//! Grounding check of numbers and amounts of money, in digits and in words.

use jangbogo_lexicon::numbers;

use super::{Sentence, Ungrounded, is_placeholder};

/// Currency signs, with the currency's ISO 4217 code.
const SIGNS: &[(char, &str)] = &[('£', "GBP"), ('$', "USD"), ('€', "EUR"), ('₩', "KRW"), ('￦', "KRW"), ('¥', "JPY")];
#[rustfmt::skip]
const WORDS: &[(&str, &str)] = &[
    ("pounds", "GBP"), ("pound", "GBP"), ("quid", "GBP"), ("gbp", "GBP"), ("pence", PENCE), ("penny", PENCE),
    ("p", PENCE), ("dollars", "USD"), ("dollar", "USD"), ("bucks", "USD"), ("usd", "USD"), ("cents", OTHER),
    ("cent", OTHER), ("euros", "EUR"), ("euro", "EUR"), ("eur", "EUR"), ("won", "KRW"), ("krw", "KRW"), ("yen", "JPY"),
    ("jpy", "JPY"), ("percent", OTHER), ("파운드", "GBP"), ("달러", "USD"), ("불", "USD"), ("유로", "EUR"), ("원", "KRW"),
    ("엔", "JPY"), ("펜스", PENCE), ("페니", PENCE), ("센트", OTHER), ("퍼센트", OTHER), ("프로", OTHER),
];
const PENCE: &str = "GBX";
/// A currency or unit that no recommendation has, such as per cent.
const OTHER: &str = "";
const MULTIPLIERS: &[(char, i64)] = &[('만', 10_000), ('천', 1000), ('백', 100)];
/// Words beside an amount that make it a limit.
#[rustfmt::skip]
const LIMIT_BEFORE: &[&str] = &[
    "under", "below", "over", "above", "within", "than", "to", "limit", "budget", "maximum", "minimum", "most", "least",
    "beyond", "exceed", "exceeds", "exceeding", "예산", "예산인", "최대", "최소", "한도",
];
#[rustfmt::skip]
const LIMIT_AFTER: &[&str] = &[
    "or less", "or under", "or below", "or cheaper", "or more", "or above", "limit", "budget", "이하", "이상", "미만", "이내",
    "안에", "안쪽", "안으로", "넘", "까지", "아래", "예산", "한도", "보다",
];

/// Checks every number of a sentence; returns the sentence without them.
pub(super) fn check(sentence: &Sentence<'_>) -> Result<String, Ungrounded> {
    let text = sentence.text;
    let mut rest = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(amount) = next_amount(text, at) {
        let (before, after) = (&text[..amount.start], &text[amount.end..]);
        if !is_supported(sentence, &amount, before, after) {
            return Err(Ungrounded::Number(text[amount.start..amount.end].trim().to_owned()));
        }
        rest.push_str(&text[at..amount.start]);
        rest.push(' ');
        at = amount.end;
    }
    rest.push_str(&text[at..]);
    match amount_in_words(&rest) {
        Some(word) => Err(Ungrounded::Number(word)),
        None => Ok(rest),
    }
}

/// A number with its currency, and its byte range in the text.
struct Amount {
    start: usize,
    end: usize,
    hundredths: i64,
    /// None: a bare number.
    currency: Option<&'static str>,
}

impl Amount {
    fn equals(&self, amount_minor: i64, currency: &str) -> bool {
        match self.currency {
            Some(PENCE) => currency == "GBP" && amount_minor * 100 == self.hundredths,
            Some(own @ ("KRW" | "JPY")) => own == currency && amount_minor * 100 == self.hundredths,
            Some(own) => own == currency && amount_minor == self.hundredths,
            None => false,
        }
    }
}

fn is_supported(sentence: &Sentence<'_>, amount: &Amount, before: &str, after: &str) -> bool {
    // An amount belongs to the product before it, else to the only one behind it, else to those of the sentence before.
    let nearest = before.char_indices().rev().find(|(_, character)| is_placeholder(*character));
    let products = match nearest {
        Some((position, mark)) => &before[position..position + mark.len_utf8()],
        None if after.chars().filter(|character| is_placeholder(*character)).count() == 1 => after,
        None if !after.contains(is_placeholder) => sentence.antecedent,
        None => "",
    };
    if amount.currency.is_some() {
        let is_price = |price: jangbogo_events::Money| amount.equals(price.amount_minor, price.currency.as_str());
        return sentence.products(products).any(|product| product.price.is_some_and(is_price))
            || is_limit(sentence, amount, before, after);
    }
    let whole = (amount.hundredths % 100 == 0).then_some(amount.hundredths / 100);
    let behind = after.trim_start();
    let is_stock = before.trim_end().ends_with("재고") && behind.starts_with('개') || behind.starts_with("in stock");
    is_stock && sentence.products(products).any(|product| product.stock.map(i64::from) == whole)
        || !is_stock
            && sentence.recommendation.request.quantity.map(i64::from).is_some_and(|quantity| whole == Some(quantity))
}

fn is_limit(sentence: &Sentence<'_>, amount: &Amount, before: &str, after: &str) -> bool {
    let Some(price) = &sentence.recommendation.request.price else { return false };
    let is_requested =
        price.min_minor.into_iter().chain(price.max_minor).any(|limit| amount.equals(limit, price.currency.as_str()));
    let last: Vec<String> = before.split_whitespace().rev().take(3).map(str::to_lowercase).collect();
    let beside = last.iter().any(|word| LIMIT_BEFORE.contains(&word.as_str()));
    let behind = after.trim_start();
    is_requested && (beside || LIMIT_AFTER.iter().any(|words| behind.starts_with(words)))
}

/// The first number at or behind a byte offset.
fn next_amount(text: &str, at: usize) -> Option<Amount> {
    let start = at + text[at..].find(|character: char| character.is_numeric())?;
    let mut end = start;
    let mut hundredths = 0_i64;
    // 3만 5천: multiplied numbers are added up.
    loop {
        let digits = digits(&text[end..]);
        let value = hundredths_of(&text[end..end + digits]);
        end += digits;
        let multiplier = MULTIPLIERS.iter().find(|(unit, _)| text[end..].starts_with(*unit));
        let Some((unit, factor)) = multiplier else {
            hundredths = hundredths.saturating_add(value);
            break;
        };
        hundredths = hundredths.saturating_add(value.saturating_mul(*factor));
        end += unit.len_utf8();
        let spaces = text[end..].len() - text[end..].trim_start_matches(' ').len();
        if self::digits(&text[end + spaces..]) == 0 {
            break;
        }
        end += spaces;
    }
    // A number in other characters (½, ３) has an unknown value: no recommendation supports it.
    if end == start {
        let length = text[start..].chars().next().map_or(0, char::len_utf8);
        return Some(Amount { start, end: start + length, hundredths: 0, currency: Some(OTHER) });
    }
    let mut amount = Amount { start, end, hundredths, currency: None };
    read_currency_before(text, at, &mut amount);
    read_currency_after(text, &mut amount);
    Some(amount)
}

fn read_currency_before(text: &str, at: usize, amount: &mut Amount) {
    let earlier = text[at..amount.start].trim_end_matches(' ');
    let sign =
        SIGNS.iter().find(|(sign, _)| earlier.ends_with(*sign)).map(|(sign, currency)| (sign.len_utf8(), *currency));
    let code = SIGNS.iter().find(|(_, code)| earlier.ends_with(code)).map(|(_, code)| (code.len(), *code));
    if let Some((length, currency)) = sign.or(code) {
        amount.start = at + earlier.len() - length;
        amount.currency = Some(currency);
    }
}

fn read_currency_after(text: &str, amount: &mut Amount) {
    let behind = &text[amount.end..];
    let later = behind.trim_start_matches([' ', '-']);
    let spaces = behind.len() - later.len();
    let lower = later.to_lowercase();
    let sign =
        SIGNS.iter().find(|(sign, _)| later.starts_with(*sign)).map(|(sign, currency)| (sign.len_utf8(), *currency));
    let word = WORDS.iter().find(|(word, _)| {
        lower.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphabetic()))
    });
    let percent = later.starts_with('%').then_some((1, OTHER));
    if let Some((length, currency)) = percent.or(sign).or(word.map(|(word, currency)| (word.len(), *currency))) {
        amount.end += spaces + length;
        // A number with two currencies is an amount of neither.
        let same = amount.currency.is_none_or(|before| before == currency);
        amount.currency = Some(if same { currency } else { OTHER });
    }
}

/// Length of the number at the beginning, in bytes.
fn digits(text: &str) -> usize {
    let run = text.find(|character: char| !character.is_ascii_digit() && !matches!(character, '.' | ','));
    text[..run.unwrap_or(text.len())].trim_end_matches(['.', ',']).len()
}

/// Reads a number as hundredths. Commas group thousands; the last is a decimal point unless three digits follow it.
fn hundredths_of(text: &str) -> i64 {
    let point = text.rfind('.').or_else(|| text.rfind(',').filter(|comma| text.len() - comma != 4));
    let (whole, part) = point.map_or((text, ""), |point| (&text[..point], &text[point + 1..]));
    let number = |text: &str| {
        text.chars()
            .filter_map(|character| character.to_digit(10))
            .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit)))
    };
    // An amount of money has at most two decimals.
    let part = match part.len() {
        0 => 0,
        1 => number(part) * 10,
        2 => number(part),
        _ => return i64::MAX,
    };
    number(whole).saturating_mul(100).saturating_add(part)
}

/// The first amount in words, such as `two pounds` and 만 원, or sign of money in the rest of a sentence.
fn amount_in_words(text: &str) -> Option<String> {
    let is_sign = |character: &char| *character == '%' || SIGNS.iter().any(|(sign, _)| sign == character);
    if let Some(sign) = text.chars().find(is_sign) {
        return Some(sign.to_string());
    }
    let (mut first, mut after_number) = (None, false);
    jangbogo_lexicon::split(text, |word| {
        let is_money = WORDS.iter().any(|(money, _)| match word.find(money) {
            _ if money.is_ascii() => *money == word && word.len() > 1,
            // 원 and 불 end many other words: 정원, 이불.
            Some(0) => after_number,
            Some(position) => is_numeral(&word[..position]),
            None => false,
        });
        if is_money {
            first.get_or_insert_with(|| word.to_owned());
        }
        after_number = numbers::english(word).is_some() || is_numeral(word);
    });
    first
}

/// True for a Korean numeral: 만, 이만오천, 두.
fn is_numeral(word: &str) -> bool {
    let characters: Vec<char> = word.chars().collect();
    let length = |read: Option<usize>| read == Some(characters.len());
    length(numbers::sino_korean(&characters).map(|(length, _)| length))
        || length(numbers::native_korean(&characters).map(|(length, _)| length))
}
