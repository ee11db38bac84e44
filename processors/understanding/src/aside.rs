//! What is said beside the wish: of other things, and what is corrected at once.

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role};
use crate::reading::Reading;

/// Uses up what says nothing of what is wanted.
pub(crate) fn read(reading: &mut Reading<'_>) {
    for at in 0..reading.items.len() {
        if reading.items[at].role != Role::Open {
            continue;
        }
        if reading.items[at].is(Cue::Correct) {
            corrected(reading, at);
        } else if reading.items[at].is(Cue::Elsewhere) {
            elsewhere(reading, at);
        } else if reading.items[at].is(Cue::Part) {
            part(reading, at);
        }
    }
    held_against(reading);
}

/// "T-shirts? No wait. A tote bag": of what is said again, the first no longer counts.
fn corrected(reading: &mut Reading<'_>, at: usize) {
    let after: Vec<&'static str> = reading.items[at..].iter().filter_map(Item::term).map(|term| term.slot).collect();
    for item in &mut reading.items[..at] {
        if item.term().is_some_and(|term| after.contains(&term.slot)) {
            item.role = Role::Used;
        }
    }
}

/// "Our lounge is all grey", 거실이 온통 회색이라.
fn elsewhere(reading: &mut Reading<'_>, at: usize) {
    if reading.items[at].korean {
        let before = matches!(reading.items[at].text.as_str(), "투성이" | "천지라" | "천지인데");
        let beside = if before { at.checked_sub(1) } else { Some(at + 1) };
        if let Some(item) = beside.and_then(|beside| reading.items.get_mut(beside)).filter(|item| item.term().is_some())
        {
            item.role = Role::Used;
        }
        return;
    }
    let stops =
        |item: &Item| item.ends_a_clause() || item.meaning == Meaning::Comma || item.is(Cue::Find) || item.text == "so";
    let start = reading.items[..at].iter().rposition(stops).map_or(0, |stop| stop + 1);
    let end = reading.items[at..].iter().position(stops).map_or(reading.items.len(), |stop| at + stop);
    let thing = |item: &Item| item.term().is_some_and(|term| term.is_thing() && !term.weak);
    if reading.items[start..end].iter().any(thing) || reading.items[start..end].iter().any(|item| item.is(Cue::Like)) {
        return;
    }
    for item in &mut reading.items[start..end] {
        if item.term().is_some() {
            item.role = Role::Used;
        }
    }
}

/// 손잡이 달린 바구니: a part of a thing is not what is wanted, if something else is.
fn part(reading: &mut Reading<'_>, at: usize) {
    let Some(before) = at.checked_sub(1).filter(|&before| reading.items[before].is_thing()) else { return };
    let things = reading.items.iter().filter(|item| item.is_thing()).count();
    if things > 1 || !reading.context.is_empty() {
        reading.items[before].role = Role::Used;
    }
}

/// 옷걸이 걸 훅: in Korean, what a thing is used with stands before it, with a verb between.
fn held_against(reading: &mut Reading<'_>) {
    for at in 0..reading.items.len() {
        let used_for = reading.items[at].korean && reading.items[at].is(Cue::For) && reading.items[at].text != "용";
        if !used_for || reading.items[at].role != Role::Open {
            continue;
        }
        let (start, end) = reading.clause(at);
        let later = reading.items[at..end].iter().any(Item::is_thing);
        if !later {
            continue;
        }
        for index in (start..at).rev() {
            let item = &reading.items[index];
            if item.meaning == Meaning::Comma || item.is_any(&[Cue::NotAdjacent, Cue::NotAfter, Cue::Find]) {
                break;
            }
            if item.is_thing() {
                reading.items[index].role = Role::Used;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn what_is_said_of_other_things_is_no_wish() {
        check(
            &fresh(),
            &[
                ("Our lounge is all grey, so I'd like a throw in orange", "product=throw; color=orange"),
                ("my kitchen is all copper so a red tea towel", "color=red; product=tea towel"),
                ("거실이 온통 회색이라 알록달록한 쿠션", "color=multicolour; product=cushion"),
                ("옷걸이 다섯개 걸 수 있는 훅", "product=hook"),
                ("t shirts? no wait, a tote bag", "product=tote bag"),
                ("바구니인데 손잡이 달린 거", "product=basket"),
            ],
        );
    }
}
