//! How many, and how large in a measure.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Finds the quantity and sizes, and uses up what says so.
pub fn read(state: &mut ParseState<'_>) {
    let mut at = 0;
    while at < state.spans.len() {
        if let Some(number) = state.number(at) {
            let (count, end) = multiplied(state, at, number);
            if let Some(size) = size(state, end, number) {
                state.sizes.push(size);
                state.use_up(at, end + 1);
            } else if let Some((units, end)) = counted(state, at, end, count) {
                if state.quantity.is_none() || corrected(state, at) {
                    state.quantity = u32::try_from(units / 100).ok().filter(|units| (1..=1_000_000).contains(units));
                }
                state.use_up(at, end);
            }
        }
        at += 1;
    }
}

/// A number times what follows it: two dozen.
fn multiplied(state: &ParseState<'_>, at: usize, number: u64) -> (u64, usize) {
    let times = state.spans.get(at + 1).and_then(|span| {
        span.cue(|cue| match cue {
            Cue::Times(times) => Some(u64::from(times)),
            _ => None,
        })
    });
    times.map_or((number, at + 1), |times| (number.saturating_mul(times), at + 2))
}

fn size(state: &ParseState<'_>, unit: usize, number: u64) -> Option<String> {
    let unit = state.spans.get(unit)?.cue(|cue| match cue {
        Cue::Unit(unit) if !unit.is_empty() => Some(unit),
        _ => None,
    })?;
    let (whole, fraction) = (number / 100, number % 100);
    Some(if fraction == 0 { format!("{whole} {unit}") } else { format!("{whole}.{fraction:02} {unit}") })
}

/// The units that a number counts, in hundredths, and the item after what says so.
fn counted(state: &ParseState<'_>, at: usize, end: usize, count: u64) -> Option<(u64, usize)> {
    let spans = &state.spans;
    let next = spans.get(end);
    let counter = next.and_then(|span| span.cue(counter));
    if let Some(each) = counter {
        let following = spans.get(end + 1);
        let in_one = following.is_some_and(|span| {
            span.is_any(&[Cue::SetOf, Cue::For, Cue::Unit("")]) || span.text == "세트" || span.text == "셋트"
        });
        // 하나 is an article as often as a number.
        let article = spans[at].korean && count == 100 && each == 1;
        return (!in_one && !article).then(|| (count.saturating_mul(u64::from(each)), end + 1));
    }
    if spans[at].korean || next.is_some_and(|span| span.cue(|cue| cue.follows_a_number().then_some(())).is_some()) {
        return None;
    }
    let before = at.checked_sub(1).map(|before| &spans[before]);
    // "She has twelve of them already", "a rack that holds six bottles".
    let has = ["has", "have", "had", "got", "holds", "fits", "hold", "fit", "to hold", "to fit", "takes"];
    if before.is_some_and(|span| has.contains(&span.text.as_str())) {
        return None;
    }
    if before.is_some_and(|span| span.is(Cue::SetOf) || span.cue(ordinal).is_some()) || spans[at].text == "one" {
        return None;
    }
    // USB 3.0 is no three of anything.
    if spans[at].text.contains('.') {
        return None;
    }
    let asked = before.is_some_and(|span| span.is_any(&[Cue::Find, Cue::Buy]) || span.text == "that");
    let thing = thing_after(spans, end);
    let of_them = next.is_some_and(|span| span.text == "of")
        && spans.get(end + 1).is_some_and(|span| span.is_any(&[Cue::These, Cue::That]));
    let of_those = next.is_some_and(|span| span.text.starts_with("of"))
        && spans[end..].iter().take(4).any(|span| matches!(span.meaning, Meaning::Products(_)));
    let alone = next.is_none_or(|span| span.is(Cue::Find) || span.meaning == Meaning::Stop)
        && before.is_none_or(|span| span.is_any(&[Cue::Find, Cue::Buy]) || span.meaning == Meaning::Comma);
    let rolls = next.is_some_and(|span| span.is(Cue::SetOf));
    let dozen = spans[at].cue(|cue| matches!(cue, Cue::Times(12) | Cue::Number(12 | 6)).then_some(())).is_some();
    (thing || rolls || of_them || of_those || alone || asked && !thing_before(spans, at) || dozen)
        .then_some((count, end))
}

/// Whether a thing is named next, but for its qualities.
fn thing_after(spans: &[Span], end: usize) -> bool {
    for span in spans.iter().skip(end).take(5) {
        if span.is_thing() {
            return true;
        }
        let matching = span.text == "matching";
        let quality = matching || span.term().is_some() || span.is(Cue::Filler) || span.meaning == Meaning::Word;
        if !quality {
            return false;
        }
    }
    false
}

fn thing_before(spans: &[Span], at: usize) -> bool {
    spans[..at].last().is_some_and(Span::is_thing)
}

/// Whether the number at an item takes the place of one before: "6, no, 8".
fn corrected(state: &ParseState<'_>, at: usize) -> bool {
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

fn ordinal(cue: Cue) -> Option<usize> {
    match cue {
        Cue::Ordinal(ordinal) => Some(ordinal),
        _ => None,
    }
}

/// The number of things that a run of items says, for taking it back: a number that is counted, or beside the word.
pub fn said(state: &ParseState<'_>, start: usize, end: usize) -> Option<u64> {
    let spans = state.spans.get(start..end)?;
    let spoken_of = spans.iter().any(|span| span.is(Cue::Slot("quantity")));
    (start..end).find_map(|at| {
        let (count, after) = multiplied(state, at, state.number(at)?);
        let each = state.spans.get(after).and_then(|span| span.cue(counter));
        (spoken_of || each.is_some()).then(|| count.saturating_mul(u64::from(each.unwrap_or(1))) / 100)
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn what_is_counted_is_a_quantity() {
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
    fn other_numbers_are_none() {
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
