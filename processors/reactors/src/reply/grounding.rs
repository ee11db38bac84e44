//! Whether an answer says what is so: every amount of money and every stock it names must be the recommendation's, and
//! every title.

use events::RecommendationGenerated;
use ranking::{Language, money};

/// Something that an answer says and the recommendation does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ungrounded {
    /// A number that is no price, stock or limit of this recommendation.
    #[error("the number {0:?} is none of the recommendation's")]
    Number(String),
    /// Words in capitals or quotation marks that are no title of this recommendation.
    #[error("{0:?} is no title of the recommendation's")]
    Title(String),
    /// Words about stock that the recommendation does not have.
    #[error("it speaks of stock: {0:?}")]
    Stock(String),
}

/// Checks an answer against its recommendation.
///
/// # Errors
/// With the first thing that is not so.
pub fn check(text: &str, given: &RecommendationGenerated) -> Result<(), Ungrounded> {
    let mut left = text.to_owned();
    // Reasons are the recommendation's own words; titles may hold numbers.
    for item in &given.items {
        left = left.replace(&*item.reason, " ");
    }
    for item in &given.items {
        left = left.replace(&*item.title, " ");
    }
    for amount in amounts(given) {
        left = left.replace(&amount, " ");
    }
    for (place, _) in given.items.iter().enumerate() {
        left = left.replace(&format!("\n{}. ", place + 1), "\n");
    }
    for stock in given.items.iter().filter_map(|item| item.stock) {
        left = left.replace(&format!("{stock} in stock"), " ").replace(&format!("재고 {stock}개"), " ");
    }
    if given.items.iter().any(|item| item.stock == Some(0)) {
        left = left.replace("sold out", " ").replace("품절", " ");
    }
    numbers(&left)?;
    stock_words(&left)?;
    titles(&left, given)
}

/// The prices and price limits of a recommendation, as answers write them.
fn amounts(given: &RecommendationGenerated) -> Vec<String> {
    let prices = given.items.iter().filter_map(|item| item.price).map(|price| (price.amount_minor, price.currency));
    let limits = given.request.price.into_iter().flat_map(|price| {
        price.min_minor.into_iter().chain(price.max_minor).map(move |amount| (amount, price.currency))
    });
    let written = prices.chain(limits).flat_map(|(amount, currency)| {
        [Language::English, Language::Korean].map(|language| money(language, amount, currency.as_str()))
    });
    let mut written: Vec<String> = written.collect();
    // The longest first: £1.65 is a part of £1.650.
    written.sort_by_key(|text| std::cmp::Reverse(text.len()));
    written
}

fn numbers(text: &str) -> Result<(), Ungrounded> {
    let is_part = |character: char| character.is_numeric() || matches!(character, '.' | ',');
    let found = text.split(|character: char| !is_part(character)).find(|run| run.chars().any(char::is_numeric));
    if let Some(number) = found {
        return Err(Ungrounded::Number(number.trim_end_matches(['.', ',']).to_owned()));
    }
    match text.chars().find(|character| "£$€₩¥".contains(*character)) {
        Some(sign) => Err(Ungrounded::Number(sign.to_string())),
        None => Ok(()),
    }
}

fn stock_words(text: &str) -> Result<(), Ungrounded> {
    let lower = text.to_lowercase();
    let words = ["in stock", "out of stock", "sold out", "재고", "품절"];
    words.into_iter().find(|word| lower.contains(word)).map_or(Ok(()), |word| Err(Ungrounded::Stock(word.to_owned())))
}

/// Runs of two or more words in capitals, and what stands in quotation marks, name products.
fn titles(text: &str, given: &RecommendationGenerated) -> Result<(), Ungrounded> {
    let mut run: Vec<&str> = Vec::new();
    let is_capital = |word: &str| {
        word.chars().any(char::is_alphabetic)
            && word.chars().filter(|c| c.is_alphabetic()).all(|c| c.is_ascii_uppercase())
            && word.chars().filter(|c| c.is_alphabetic()).count() > 1
    };
    for word in text.split_whitespace().chain(std::iter::once("")) {
        if is_capital(word) {
            run.push(word);
        } else {
            if run.len() > 1 {
                return Err(Ungrounded::Title(run.join(" ")));
            }
            run.clear();
        }
    }
    for (open, close) in [('"', '"'), ('“', '”'), ('«', '»'), ('「', '」'), ('\'', '\''), ('‘', '’')] {
        let mut rest = text;
        while let Some(start) = rest.find(open) {
            let inside = &rest[start + open.len_utf8()..];
            let Some(end) = inside.find(close) else { break };
            let quoted = &inside[..end];
            if quoted.split_whitespace().count() > 1 && !is_asked(quoted, given) {
                return Err(Ungrounded::Title(quoted.to_owned()));
            }
            rest = &inside[end + close.len_utf8()..];
        }
    }
    Ok(())
}

/// What the shopper asked for may be repeated.
fn is_asked(quoted: &str, given: &RecommendationGenerated) -> bool {
    given.request.wishes.iter().any(|wish| wish.value.eq_ignore_ascii_case(quoted))
}

#[cfg(test)]
mod tests {
    use events::Payload as _;

    use super::*;

    fn given() -> RecommendationGenerated {
        RecommendationGenerated::example()
    }

    #[test]
    fn what_the_recommendation_says_may_be_said() {
        for text in [
            "LUNCH BAG RED RETROSPOT costs £1.65.",
            "3.00파운드 이하로 LUNCH BAG RED RETROSPOT 어떠세요? 1.65파운드예요.",
            "Shall I look for a \"lunch bag\"?",
        ] {
            assert_eq!(check(text, &given()), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_it_does_not_say_must_not() {
        for (text, what) in [
            ("LUNCH BAG RED RETROSPOT costs £0.99.", Ungrounded::Number("0.99".to_owned())),
            ("It is only 2 pounds.", Ungrounded::Number("2".to_owned())),
            ("GOLDEN TEAPOT DELUXE would suit you.", Ungrounded::Title("GOLDEN TEAPOT DELUXE".to_owned())),
            ("How about our \"Golden Teapot\"?", Ungrounded::Title("Golden Teapot".to_owned())),
            ("We have plenty in stock.", Ungrounded::Stock("in stock".to_owned())),
            ("재고가 많아요.", Ungrounded::Stock("재고".to_owned())),
        ] {
            assert_eq!(check(text, &given()), Err(what), "{text}");
        }
    }
}
