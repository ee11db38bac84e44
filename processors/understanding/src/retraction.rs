//! What is taken back: "forget that I like plastic", 빨간색 좋아한다는 건 잊어줘.

use crate::cue::Cue;
use crate::item::{Meaning, Role};
use crate::prices;
use crate::quantities;
use crate::reading::Reading;

/// Marks what is taken back, and uses up what says so.
pub(crate) fn read(reading: &mut Reading<'_>) {
    for at in 0..reading.items.len() {
        if reading.items[at].role != Role::Open || !reading.items[at].is(Cue::Forget) {
            continue;
        }
        let (start, end) = if reading.items[at].korean { backward(reading, at) } else { forward(reading, at) };
        let mut any = mark(reading, start, end);
        if !any && !reading.items[at].korean {
            let (start, _) = reading.clause(at);
            any = mark(reading, start, at);
        }
        let all = reading.items.iter().any(|item| item.is(Cue::Everything));
        if !any && all && !reading.has(Cue::Injection) {
            reading.reset = true;
        }
    }
    no_longer_needed(reading);
}

/// English says what after the cue, up to the next wish.
fn forward(reading: &Reading<'_>, at: usize) -> (usize, usize) {
    let mut named = false;
    for (index, item) in reading.items.iter().enumerate().skip(at + 1) {
        named |= item.is_named() || matches!(item.meaning, Meaning::Number(_));
        let wish = item.is(Cue::Find) || item.meaning == Meaning::Comma;
        let cleft = item.is(Cue::Any) || item.is(Cue::Clause);
        if item.meaning == Meaning::Stop || named && (wish || cleft) || index > at + 14 {
            return (at + 1, index);
        }
    }
    (at + 1, reading.items.len())
}

/// Korean says what before the cue, in its clause.
fn backward(reading: &Reading<'_>, at: usize) -> (usize, usize) {
    let mut start = at;
    for (index, item) in reading.items[..at].iter().enumerate().rev() {
        let past = item.ends_a_clause()
            && (item.meaning == Meaning::Stop || reading.items[index + 1..at].iter().any(crate::item::Item::is_named));
        if past || index + 16 < at {
            break;
        }
        start = index;
    }
    (start, at)
}

/// Takes back what a run of items names. Returns whether it named anything.
fn mark(reading: &mut Reading<'_>, start: usize, end: usize) -> bool {
    let mut any = false;
    if let Some((currency, minor)) = prices::retracted(reading, start, end) {
        reading.retracted.push(("price", format!("{minor} {currency}")));
        any = true;
    } else if let Some(count) = quantities::said(reading, start, end) {
        reading.retracted.push(("quantity", count.to_string()));
        any = true;
    }
    for item in &mut reading.items[start..end] {
        if matches!(item.meaning, Meaning::Terms(_)) && item.role == Role::Open {
            item.role = Role::Retracted;
            any = true;
        }
    }
    if !any {
        any = forget_slot(reading, start, end);
    }
    if any {
        for item in &mut reading.items[start..end] {
            if item.role == Role::Open {
                item.role = Role::Used;
            }
        }
    }
    any
}

/// "Forget the colour" takes back the colours that were wished for.
fn forget_slot(reading: &mut Reading<'_>, start: usize, end: usize) -> bool {
    let slot = |cue| if let Cue::Slot(slot) = cue { Some(slot) } else { None };
    let slots: Vec<&'static str> = reading.items[start..end].iter().filter_map(|item| item.cue(slot)).collect();
    let request = &reading.context.request;
    let mut found = Vec::new();
    for slot in slots {
        found.extend(
            request.wishes.iter().filter(|wish| &*wish.slot == slot).map(|wish| (slot, wish.value.to_string())),
        );
        if slot == "price"
            && let Some(price) = request.price
            && let Some(minor) = price.max_minor.or(price.min_minor)
        {
            found.push((slot, format!("{minor} {}", price.currency)));
        }
    }
    let any = !found.is_empty();
    reading.retracted.append(&mut found);
    any
}

/// "We don't need the mugs after all": a thing that is no longer needed is taken back rather than ruled out.
fn no_longer_needed(reading: &mut Reading<'_>) {
    for at in 0..reading.items.len() {
        let item = &reading.items[at];
        if item.role != Role::Open || !item.is(Cue::NoLonger) {
            continue;
        }
        let korean = item.korean;
        let start =
            reading.items[..at].iter().rposition(|item| item.meaning == Meaning::Stop).map_or(0, |stop| stop + 1);
        let told = reading.items[start..at]
            .iter()
            .any(|item| if korean { item.is(Cue::Said) } else { item.is_any(&[Cue::NotBefore, Cue::HateBefore]) });
        if told && !reading.items[at + 1..].iter().any(|item| korean && item.is_named()) {
            mark(reading, start, at);
        }
    }
}
