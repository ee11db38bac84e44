//! How many, and how large in a measure.

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role};
use crate::reading::Reading;

/// Finds the quantity and sizes, and uses up what says so.
pub(crate) fn read(reading: &mut Reading<'_>) {
    let mut at = 0;
    while at < reading.items.len() {
        if let Some(number) = reading.number(at) {
            let (count, end) = multiplied(reading, at, number);
            if let Some(size) = size(reading, end, number) {
                reading.sizes.push(size);
                reading.use_up(at, end + 1);
            } else if let Some((units, end)) = counted(reading, at, end, count) {
                if reading.quantity.is_none() || corrected(reading, at) {
                    reading.quantity = u32::try_from(units / 100).ok().filter(|units| (1..=1_000_000).contains(units));
                }
                reading.use_up(at, end);
            }
        }
        at += 1;
    }
}

/// A number times what follows it: two dozen.
fn multiplied(reading: &Reading<'_>, at: usize, number: u64) -> (u64, usize) {
    let times = reading.items.get(at + 1).and_then(|item| {
        item.cue(|cue| match cue {
            Cue::Times(times) => Some(u64::from(times)),
            _ => None,
        })
    });
    times.map_or((number, at + 1), |times| (number.saturating_mul(times), at + 2))
}

fn size(reading: &Reading<'_>, unit: usize, number: u64) -> Option<String> {
    let unit = reading.items.get(unit)?.cue(|cue| match cue {
        Cue::Unit(unit) if !unit.is_empty() => Some(unit),
        _ => None,
    })?;
    let (whole, fraction) = (number / 100, number % 100);
    Some(if fraction == 0 { format!("{whole} {unit}") } else { format!("{whole}.{fraction:02} {unit}") })
}

/// The units that a number counts, in hundredths, and the item after what says so.
fn counted(reading: &Reading<'_>, at: usize, end: usize, count: u64) -> Option<(u64, usize)> {
    let items = &reading.items;
    let next = items.get(end);
    let counter = next.and_then(|item| item.cue(counter));
    if let Some(each) = counter {
        let following = items.get(end + 1);
        let in_one = following.is_some_and(|item| {
            item.is_any(&[Cue::SetOf, Cue::For, Cue::Unit("")]) || item.text == "세트" || item.text == "셋트"
        });
        // 하나 is an article as often as a number.
        let article = items[at].korean && count == 100 && each == 1;
        return (!in_one && !article).then(|| (count.saturating_mul(u64::from(each)), end + 1));
    }
    if items[at].korean || next.is_some_and(|item| item.cue(|cue| cue.follows_a_number().then_some(())).is_some()) {
        return None;
    }
    let before = at.checked_sub(1).map(|before| &items[before]);
    // "She has twelve of them already", "a rack that holds six bottles".
    let has = ["has", "have", "had", "got", "holds", "fits", "hold", "fit", "to hold", "to fit", "takes"];
    if before.is_some_and(|item| has.contains(&item.text.as_str())) {
        return None;
    }
    if before.is_some_and(|item| item.is(Cue::SetOf) || item.cue(ordinal).is_some()) || items[at].text == "one" {
        return None;
    }
    // USB 3.0 is no three of anything.
    if items[at].text.contains('.') {
        return None;
    }
    let asked = before.is_some_and(|item| item.is_any(&[Cue::Find, Cue::Buy]) || item.text == "that");
    let thing = thing_after(items, end);
    let of_them = next.is_some_and(|item| item.text == "of")
        && items.get(end + 1).is_some_and(|item| item.is_any(&[Cue::These, Cue::That]));
    let of_those = next.is_some_and(|item| item.text.starts_with("of"))
        && items[end..].iter().take(4).any(|item| matches!(item.meaning, Meaning::Products(_)));
    let alone = next.is_none_or(|item| item.is(Cue::Find) || item.meaning == Meaning::Stop)
        && before.is_none_or(|item| item.is_any(&[Cue::Find, Cue::Buy]) || item.meaning == Meaning::Comma);
    let rolls = next.is_some_and(|item| item.is(Cue::SetOf));
    let dozen = items[at].cue(|cue| matches!(cue, Cue::Times(12) | Cue::Number(12 | 6)).then_some(())).is_some();
    (thing || rolls || of_them || of_those || alone || asked && !thing_before(items, at) || dozen)
        .then_some((count, end))
}

/// Whether a thing is named next, but for its qualities.
fn thing_after(items: &[Item], end: usize) -> bool {
    for item in items.iter().skip(end).take(5) {
        if item.is_thing() {
            return true;
        }
        let matching = item.text == "matching";
        let quality = matching || item.term().is_some() || item.is(Cue::Filler) || item.meaning == Meaning::Word;
        if !quality {
            return false;
        }
    }
    false
}

fn thing_before(items: &[Item], at: usize) -> bool {
    items[..at].last().is_some_and(Item::is_thing)
}

/// Whether the number at an item takes the place of one before: "6, no, 8".
fn corrected(reading: &Reading<'_>, at: usize) -> bool {
    let words = reading.items[..at].iter().rev().take(3);
    words.into_iter().any(|item| {
        item.role == Role::Open && (item.is_any(&[Cue::Refuse, Cue::NotBefore, Cue::Correct]) || item.text == "sorry")
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
pub(crate) fn said(reading: &Reading<'_>, start: usize, end: usize) -> Option<u64> {
    let items = reading.items.get(start..end)?;
    let spoken_of = items.iter().any(|item| item.is(Cue::Slot("quantity")));
    (start..end).find_map(|at| {
        let (count, after) = multiplied(reading, at, reading.number(at)?);
        let each = reading.items.get(after).and_then(|item| item.cue(counter));
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
