//! What is said beside the wish: of other things, and what is corrected at once.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Uses up what says nothing of what is wanted.
pub fn read(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        if state.spans[at].role != Role::Open {
            continue;
        }
        if state.spans[at].is(Cue::Correct) {
            corrected(state, at);
        } else if state.spans[at].is(Cue::Elsewhere) {
            elsewhere(state, at);
        } else if state.spans[at].is(Cue::Part) {
            part(state, at);
        }
    }
    held_against(state);
}

/// "T-shirts? No wait. A tote bag": of what is said again, the first no longer counts.
fn corrected(state: &mut ParseState<'_>, at: usize) {
    let after: Vec<&'static str> = state.spans[at..].iter().filter_map(Span::term).map(|term| term.slot).collect();
    for span in &mut state.spans[..at] {
        if span.term().is_some_and(|term| after.contains(&term.slot)) {
            span.role = Role::Used;
        }
    }
}

/// "Our lounge is all grey", 거실이 온통 회색이라.
fn elsewhere(state: &mut ParseState<'_>, at: usize) {
    if state.spans[at].korean {
        let before = matches!(state.spans[at].text.as_str(), "투성이" | "천지라" | "천지인데");
        let beside = if before { at.checked_sub(1) } else { Some(at + 1) };
        if let Some(span) = beside.and_then(|beside| state.spans.get_mut(beside)).filter(|span| span.term().is_some()) {
            span.role = Role::Used;
        }
        return;
    }
    let stops =
        |span: &Span| span.ends_a_clause() || span.meaning == Meaning::Comma || span.is(Cue::Find) || span.text == "so";
    let start = state.spans[..at].iter().rposition(stops).map_or(0, |stop| stop + 1);
    let end = state.spans[at..].iter().position(stops).map_or(state.spans.len(), |stop| at + stop);
    let thing = |span: &Span| span.term().is_some_and(|term| term.is_thing() && !term.weak);
    if state.spans[start..end].iter().any(thing) || state.spans[start..end].iter().any(|span| span.is(Cue::Like)) {
        return;
    }
    for span in &mut state.spans[start..end] {
        if span.term().is_some() {
            span.role = Role::Used;
        }
    }
}

/// 손잡이 달린 바구니: a part of a thing is not what is wanted, if something else is.
fn part(state: &mut ParseState<'_>, at: usize) {
    let Some(before) = at.checked_sub(1).filter(|&before| state.spans[before].is_thing()) else { return };
    let things = state.spans.iter().filter(|span| span.is_thing()).count();
    if things > 1 || !state.context.is_empty() {
        state.spans[before].role = Role::Used;
    }
}

/// 옷걸이 걸 훅: in Korean, what a thing is used with stands before it, with a verb between.
fn held_against(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        let used_for = state.spans[at].korean && state.spans[at].is(Cue::For) && state.spans[at].text != "용";
        if !used_for || state.spans[at].role != Role::Open {
            continue;
        }
        let (start, end) = state.clause(at);
        let later = state.spans[at..end].iter().any(Span::is_thing);
        if !later {
            continue;
        }
        for index in (start..at).rev() {
            let span = &state.spans[index];
            if span.meaning == Meaning::Comma || span.is_any(&[Cue::NotAdjacent, Cue::NotAfter, Cue::Find]) {
                break;
            }
            if span.is_thing() {
                state.spans[index].role = Role::Used;
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
