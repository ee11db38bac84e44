//! Price limits, and "cheaper" and "dearer".

use jangbogo_events::{Currency, PriceDirection, PriceRange};

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::amounts::{self, Amount};
use crate::span::{Meaning, Role, Span};

/// "About" reaches a fifth below and above the amount.
const ABOUT_PARTS: u64 = 5;

/// Reads the price limits and the price direction, and consumes their spans.
pub(crate) fn read(state: &mut ParseState<'_>) {
    direction(state);
    let amounts = amounts::read(state);
    let mut at = 0;
    while at < amounts.len() {
        if let Some((range, last)) = range(state, &amounts, at) {
            set(state, range);
            state.consume(amounts[at].start, amounts[last].end);
            at = last;
        } else if let Some(limits) = limits(state, amounts[at]) {
            set(state, limits);
            state.consume(amounts[at].start, amounts[at].end);
        }
        at += 1;
    }
}

/// Price in a range of spans that is retracted, in minor units.
pub(crate) fn retracted(state: &ParseState<'_>, start: usize, end: usize) -> Option<(Currency, i64)> {
    let amounts = amounts::read(state);
    let amount = amounts.into_iter().find(|amount| amount.start >= start && amount.end <= end)?;
    let currency = Currency::new(amount.currency?).ok()?;
    Some((currency, Amount::minor(amount.hundredths, currency)))
}

fn direction(state: &mut ParseState<'_>) {
    let has_open = |cue| state.spans.iter().any(|span| span.role == Role::Open && span.is(cue));
    let limit = state.spans.iter().any(|span| span.is(Cue::CheapWord));
    // Without shown products there is nothing to compare with.
    let shown = !state.context.shown.is_empty();
    // "Less than the blue one."
    let precedes_products = |cue| {
        let positions = (0..state.spans.len()).filter(|&at| state.spans[at].is(cue));
        positions.into_iter().any(|at| {
            state.spans[at + 1..]
                .iter()
                .find(|span| !span.is_filler())
                .is_some_and(|span| matches!(span.meaning, Meaning::Products(_)))
        })
    };
    let (less, more) = (precedes_products(Cue::AtMostBefore), precedes_products(Cue::AtLeastBefore));
    state.direction = match (has_open(Cue::Cheaper) && !limit && shown || less, has_open(Cue::Dearer) && shown || more)
    {
        (_, true) => Some(PriceDirection::Dearer),
        (true, false) => Some(PriceDirection::Cheaper),
        (false, false) => None,
    };
}

/// Range of two amounts with a "to" between them, and the index of the second.
fn range(state: &ParseState<'_>, amounts: &[Amount], at: usize) -> Option<(PriceRange, usize)> {
    let (low, high) = (amounts[at], *amounts.get(at + 1)?);
    let between = &state.spans[low.end..high.start];
    let began = before(state, low, |cue| cue == Cue::Between);
    let joined = between.iter().any(|span| span.is(Cue::To) || began && span.is(Cue::Join));
    let short = between.len() <= 4 && between.iter().all(|span| !span.ends_a_clause() && !span.is_name());
    let counted = counted(state, high) || counted(state, low);
    if !joined || !short || counted || high.hundredths < low.hundredths && low.currency.is_some() {
        return None;
    }
    let code = low.currency.or(high.currency);
    if code.is_none() && !names_price(state) && !began {
        return None;
    }
    // "2 to 3 thousand won": the first amount has the unit of the second.
    let low_value = if low.currency.is_none() && high.step >= 10_000 && low.hundredths * 100 < high.hundredths {
        low.hundredths.saturating_mul(high.step / 100)
    } else {
        low.hundredths
    };
    let currency = currency(state, code.map(|_| high.currency.or(low.currency).unwrap_or_default()))?;
    let range = PriceRange {
        min_minor: Some(Amount::minor(low_value, currency)),
        max_minor: Some(Amount::minor(high.hundredths, currency)),
        currency,
    };
    Some((range, at + 1))
}

/// Limits that one amount sets; none if it is not a price.
fn limits(state: &mut ParseState<'_>, amount: Amount) -> Option<PriceRange> {
    let at_most = before(state, amount, |cue| cue == Cue::AtMostBefore)
        || after(state, amount, |cue| cue == Cue::AtMostAfter)
        || budget(state, amount);
    let at_least =
        before(state, amount, |cue| cue == Cue::AtLeastBefore) || after(state, amount, |cue| cue == Cue::AtLeastAfter);
    // "No clocks over £100" excludes the price, not clocks.
    let negated = if at_least { negation(state, amount) } else { None };
    if let Some(negation) = negated {
        state.spans[negation].role = Role::Consumed;
    }
    let (at_most, at_least) = (at_most || negated.is_some(), at_least && negated.is_none());
    let about =
        before(state, amount, |cue| cue == Cue::AboutBefore) || after(state, amount, |cue| cue == Cue::AboutAfter);
    if amount.currency.is_none() {
        let limited = at_most || at_least || about;
        let counts_things = counted(state, amount) || state.spans.get(amount.end).is_some_and(Span::is_name);
        if !limited || counts_things || amount.hundredths == 0 {
            return None;
        }
    }
    let currency = currency(state, amount.currency)?;
    let value = amount.hundredths;
    let band = state.spans.get(amount.end).is_some_and(|span| span.is(Cue::Band));
    let (low, high) = match () {
        () if band => (Some(value), Some(value.saturating_add(amount.step).saturating_sub(band_end(currency)))),
        () if at_most => (None, Some(value)),
        () if at_least => (Some(value), None),
        () if about => (Some(value - value / ABOUT_PARTS), Some(value.saturating_add(value / ABOUT_PARTS))),
        () => (Some(value), Some(value)),
    };
    let minor = |value: Option<u64>| value.map(|value| Amount::minor(value, currency));
    Some(PriceRange { min_minor: minor(low), max_minor: minor(high), currency })
}

/// Index of the negation in the clause of an amount: before it in English, after it in Korean. A negation beyond a
/// comma excludes another name: "at least £8, no glass".
fn negation(state: &ParseState<'_>, amount: Amount) -> Option<usize> {
    let (start, end) = state.clause(amount.start);
    let together = |at: &usize| state.spans[*at].meaning != Meaning::Comma;
    let open = |at: &usize| state.spans[*at].role == Role::Open;
    if state.spans[amount.start..amount.end].iter().any(|span| span.korean) {
        let mut after = (amount.end..end).take_while(together).filter(open);
        return after.find(|&at| state.spans[at].is_any(&[Cue::NotAdjacent, Cue::NotAfter]));
    }
    let mut before = (start..amount.start).rev().take_while(together).filter(open);
    before.find(|&at| state.spans[at].is(Cue::NotBefore))
}

/// Smallest unit of a currency in hundredths: a band ends one unit below the next.
fn band_end(currency: Currency) -> u64 {
    if Amount::minor(100, currency) == 1 { 100 } else { 1 }
}

/// True for a number with a counter or a unit of measure.
fn counted(state: &ParseState<'_>, amount: Amount) -> bool {
    let next = state.spans.get(amount.end);
    next.is_some_and(|span| span.has_cue(|cue| matches!(cue, Cue::Counter(_) | Cue::Unit(_))))
}

fn names_price(state: &ParseState<'_>) -> bool {
    state.spans.iter().any(|span| span.is(Cue::Slot("price")))
}

fn budget(state: &ParseState<'_>, amount: Amount) -> bool {
    let start = amount.start.saturating_sub(4);
    state.spans[start..amount.start].iter().any(|span| span.text.contains("budget") || span.text.contains("예산"))
}

fn currency(state: &ParseState<'_>, named: Option<&str>) -> Option<Currency> {
    match named {
        Some(code) => Currency::new(code).ok(),
        None => Some(state.context.default_currency),
    }
}

/// True if a matching cue stands before an amount, with only neutral spans between.
fn before(state: &ParseState<'_>, amount: Amount, predicate: impl Fn(Cue) -> bool + Copy) -> bool {
    for span in state.spans[..amount.start].iter().rev().take(4) {
        if span.has_cue(predicate) {
            return true;
        }
        let passes =
            span.is_filler() || span.is_any(&[Cue::AboutBefore, Cue::Slot("price"), Cue::Per, Cue::For, Cue::Find]);
        if !passes {
            return false;
        }
    }
    false
}

/// True if a matching cue stands after an amount, with only neutral spans between.
fn after(state: &ParseState<'_>, amount: Amount, predicate: impl Fn(Cue) -> bool + Copy) -> bool {
    for span in state.spans[amount.end..].iter().take(4) {
        if span.has_cue(predicate) {
            return true;
        }
        let passes = span.is_filler()
            || span.meaning == Meaning::Other
            || span.is_any(&[Cue::AboutAfter, Cue::Slot("price"), Cue::Per, Cue::Question]);
        if !passes {
            return false;
        }
    }
    false
}

/// Adds a limit to the one read before, if that leaves an end open.
fn set(state: &mut ParseState<'_>, new: PriceRange) {
    state.price = Some(match state.price.filter(|old| old.currency == new.currency) {
        Some(old) if old.min_minor.is_none() || old.max_minor.is_none() => PriceRange {
            min_minor: new.min_minor.or(old.min_minor),
            max_minor: new.max_minor.or(old.max_minor),
            currency: new.currency,
        },
        _ => new,
    });
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn limits_are_read_in_both_languages() {
        check(
            &fresh(),
            &[
                ("mugs under £5", "product=mug; <=500GBP"),
                ("a mug for less than a tenner", "product=mug; <=1000GBP"),
                ("머그컵 만원 이하", "product=mug; <=10000KRW"),
                ("머그컵 2만 5천원 안쪽으로", "product=mug; <=25000KRW"),
                ("머그컵 삼천원 넘지 않게", "product=mug; <=3000KRW"),
                ("머그컵 3파운드까지", "product=mug; <=300GBP"),
                ("머그컵 20만 이하", "product=mug; <=200000KRW"),
                ("mugs over 50p", "product=mug; >=50GBP"),
                ("from a pound upwards, a mug", "product=mug; >=100GBP"),
                ("머그컵 만원 이상", "product=mug; >=10000KRW"),
                ("no clocks over £100", "category=clocks; <=10000GBP"),
                ("£2 mugs", "product=mug; >=200GBP; <=200GBP"),
                ("forty euros tops for a mug", "product=mug; <=4000EUR"),
                ("a mug under $1,200.50", "product=mug; <=120050USD"),
            ],
        );
    }

    #[test]
    fn ranges_bands_and_about_have_two_ends() {
        check(
            &fresh(),
            &[
                ("a mug between £5 and £7.50", "product=mug; >=500GBP; <=750GBP"),
                ("mug £8-£12", "product=mug; >=800GBP; <=1200GBP"),
                ("ten to fifteen quid for a mug", "product=mug; >=1000GBP; <=1500GBP"),
                ("5천원에서 7천원 정도 머그컵", "product=mug; >=5000KRW; <=7000KRW"),
                ("만원에서 이만원 사이 머그컵", "product=mug; >=10000KRW; <=20000KRW"),
                ("머그컵 만원대", "product=mug; >=10000KRW; <=19999KRW"),
                ("머그컵 3만원대", "product=mug; >=30000KRW; <=39999KRW"),
                ("around a fiver for a mug", "product=mug; >=400GBP; <=600GBP"),
                ("머그컵 5천원쯤", "product=mug; >=4000KRW; <=6000KRW"),
            ],
        );
    }

    #[test]
    fn a_direction_needs_shown_products() {
        check(
            &shown(),
            &[
                ("cheaper", "cheaper"),
                ("더 싼 거 없어요?", "cheaper"),
                ("비싸요", "cheaper"),
                ("anything pricier?", "dearer"),
                ("less than the second one", "cheaper; @B"),
            ],
        );
        check(&fresh(), &[("a cheap mug", "product=mug"), ("mugs, not too expensive", "product=mug")]);
    }
}
