//! Quantities, and sizes in a unit of measure.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::amounts;
use crate::span::{Meaning, Role, Span};

/// Reads the quantity and sizes, and consumes their spans.
pub(crate) fn read(state: &mut ParseState<'_>) {
    let mut at = 0;
    while at < state.spans.len() {
        if let Some(number) = state.number(at) {
            let (count, end) = multiplied(state, at, number);
            if let Some(size) = size(state, end, number) {
                state.sizes.push(size);
                state.consume(at, end + 1);
            } else if let Some((units, end)) = counted(state, at, end, count) {
                if state.quantity.is_none() || corrects(state, at) {
                    state.quantity = u32::try_from(units / 100).ok().filter(|units| (1..=1_000_000).contains(units));
                }
                state.consume(at, end);
            }
        }
        at += 1;
    }
}

/// A number times a multiplier after it (two dozen), and the span after both.
fn multiplied(state: &ParseState<'_>, at: usize, number: u64) -> (u64, usize) {
    let times = state.spans.get(at + 1).and_then(|span| span.cue(amounts::times));
    times.map_or((number, at + 1), |times| (number.saturating_mul(times.into()), at + 2))
}

fn size(state: &ParseState<'_>, unit: usize, number: u64) -> Option<String> {
    let unit = state.spans.get(unit)?.cue(|cue| match cue {
        Cue::Unit(unit) if !unit.is_empty() => Some(unit),
        _ => None,
    })?;
    let (whole, fraction) = (number / 100, number % 100);
    Some(if fraction == 0 { format!("{whole} {unit}") } else { format!("{whole}.{fraction:02} {unit}") })
}

/// Units that a number counts, in hundredths, and the span after the count; none if it is no quantity.
fn counted(state: &ParseState<'_>, at: usize, end: usize, count: u64) -> Option<(u64, usize)> {
    let spans = &state.spans;
    let next = spans.get(end);
    let counter = next.and_then(|span| span.cue(counter));
    if let Some(each) = counter {
        let following = spans.get(end + 1);
        let in_one = following.is_some_and(|span| {
            span.is_any(&[Cue::SetOf, Cue::For, Cue::Unit("")]) || span.text == "세트" || span.text == "셋트"
        });
        // 하나 may be an article.
        let article = spans[at].korean && count == 100 && each == 1;
        return (!in_one && !article).then(|| (count.saturating_mul(u64::from(each)), end + 1));
    }
    if spans[at].korean || next.is_some_and(|span| span.has_cue(Cue::follows_a_number)) {
        return None;
    }
    let before = at.checked_sub(1).map(|before| &spans[before]);
    // "She has twelve of them already", "a rack that holds six bottles".
    let has = ["has", "have", "had", "got", "holds", "fits", "hold", "fit", "to hold", "to fit", "takes"];
    if before.is_some_and(|span| has.contains(&span.text.as_str())) {
        return None;
    }
    if before.is_some_and(|span| span.is(Cue::SetOf) || span.has_cue(|cue| matches!(cue, Cue::Ordinal(_))))
        || spans[at].text == "one"
    {
        return None;
    }
    // "USB 3.0" is not a quantity.
    if spans[at].text.contains('.') {
        return None;
    }
    let is_requested = before.is_some_and(|span| span.is_any(&[Cue::Find, Cue::Buy]) || span.text == "that");
    let counts_kind = kind_follows(spans, end);
    let of_them = next.is_some_and(|span| span.text == "of")
        && spans.get(end + 1).is_some_and(|span| span.is_any(&[Cue::These, Cue::That]));
    let of_those = next.is_some_and(|span| span.text.starts_with("of"))
        && spans[end..].iter().take(4).any(|span| matches!(span.meaning, Meaning::Products(_)));
    let alone = next.is_none_or(|span| span.is(Cue::Find) || span.meaning == Meaning::Stop)
        && before.is_none_or(|span| span.is_any(&[Cue::Find, Cue::Buy]) || span.meaning == Meaning::Comma);
    let rolls = next.is_some_and(|span| span.is(Cue::SetOf));
    let dozen = spans[at].has_cue(|cue| matches!(cue, Cue::Times(12) | Cue::Number(12 | 6)));
    (counts_kind || rolls || of_them || of_those || alone || is_requested && !kind_precedes(spans, at) || dozen)
        .then_some((count, end))
}

/// True if a product kind follows, with only its qualities between.
fn kind_follows(spans: &[Span], end: usize) -> bool {
    for span in spans.iter().skip(end).take(5) {
        if span.names_kind() {
            return true;
        }
        let is_quality = span.term().is_some() || span.is(Cue::Filler) || span.meaning == Meaning::Word;
        if !is_quality && span.text != "matching" {
            return false;
        }
    }
    false
}

fn kind_precedes(spans: &[Span], at: usize) -> bool {
    spans[..at].last().is_some_and(Span::names_kind)
}

/// True for a number that corrects an earlier one: "6, no, 8".
fn corrects(state: &ParseState<'_>, at: usize) -> bool {
    let words = state.spans[..at].iter().rev().take(3);
    words.into_iter().any(|span| {
        span.role == Role::Open && (span.is_any(&[Cue::Refuse, Cue::NotBefore, Cue::Correct]) || span.text == "sorry")
    })
}

fn counter(cue: Cue) -> Option<u32> {
    match cue {
        Cue::Counter(each) => Some(each),
        _ => None,
    }
}

/// Quantity in a range of spans that is retracted: a number with a counter, or any number if the word "quantity" is
/// named.
pub(crate) fn retracted(state: &ParseState<'_>, start: usize, end: usize) -> Option<u64> {
    let spans = state.spans.get(start..end)?;
    let names_quantity = spans.iter().any(|span| span.is(Cue::Slot("quantity")));
    (start..end).find_map(|at| {
        let (count, after) = multiplied(state, at, state.number(at)?);
        let each = state.spans.get(after).and_then(|span| span.cue(counter));
        (names_quantity || each.is_some()).then(|| count.saturating_mul(u64::from(each.unwrap_or(1))) / 100)
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn counted_products_give_a_quantity() {
        check(
            &fresh(),
            &[
                ("six mugs", "product=mug; x6"),
                ("머그컵 두 개", "product=mug; x2"),
                ("머그컵 열두 개 주세요", "product=mug; x12"),
                ("머그컵 한 다스", "product=mug; x12"),
                ("two dozen napkins", "product=napkin; x24"),
                ("three rolls of gift wrap", "product=gift wrap; x3"),
                ("about two pounds each, thirty of them, mugs", "product=mug; >=160GBP; <=240GBP; x30"),
            ],
        );
        check(
            &shown(),
            &[("make that 6, no sorry, 8", "x8"), ("6개 아니 8개요", "x8"), ("three of the second", "x3; @B")],
        );
    }

    #[test]
    fn other_numbers_are_not_quantities() {
        check(
            &fresh(),
            &[
                ("a set of six mugs", "product=mug"),
                ("머그컵 네개 세트", "product=mug"),
                ("머그컵 하나 보여줘", "product=mug"),
                ("a lamp for my 8 year old", "product=lamp"),
                ("커튼 길이 200cm", "product=curtain; size=200 cm"),
                ("30.5 cm mirror", "product=mirror; size=30.50 cm"),
                ("usb 3.0 mouse", "product=mouse"),
            ],
        );
    }
}
