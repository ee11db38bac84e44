//! Corrections within a message, parts of products, and descriptions of other objects.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Consumes corrected values, parts, and names that describe another object.
pub(crate) fn read(state: &mut ParseState<'_>) {
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
    purposes(state);
}

/// "T-shirts? No wait. A tote bag": a later value of a slot replaces the earlier one.
fn corrected(state: &mut ParseState<'_>, at: usize) {
    let slots: Vec<&'static str> = state.spans[at..].iter().filter_map(Span::term).map(|term| term.slot).collect();
    for span in &mut state.spans[..at] {
        if span.term().is_some_and(|term| slots.contains(&term.slot)) {
            span.role = Role::Consumed;
        }
    }
}

/// "Our lounge is all grey", 거실이 온통 회색이라: a quality of another object.
fn elsewhere(state: &mut ParseState<'_>, at: usize) {
    if state.spans[at].korean {
        let before = matches!(state.spans[at].text.as_str(), "투성이" | "천지라" | "천지인데");
        let beside = if before { at.checked_sub(1) } else { Some(at + 1) };
        if let Some(span) = beside.and_then(|beside| state.spans.get_mut(beside)).filter(|span| span.term().is_some()) {
            span.role = Role::Consumed;
        }
        return;
    }
    let stops =
        |span: &Span| span.ends_a_clause() || span.meaning == Meaning::Comma || span.is(Cue::Find) || span.text == "so";
    let start = state.spans[..at].iter().rposition(stops).map_or(0, |stop| stop + 1);
    let end = state.spans[at..].iter().position(stops).map_or(state.spans.len(), |stop| at + stop);
    let is_kind = |span: &Span| span.term().is_some_and(|term| term.names_kind() && !term.weak);
    if state.spans[start..end].iter().any(is_kind) || state.spans[start..end].iter().any(|span| span.is(Cue::Like)) {
        return;
    }
    state.consume_names(start, end);
}

/// 손잡이 달린 바구니: a part of a product is not a wish if another kind is named.
fn part(state: &mut ParseState<'_>, at: usize) {
    let Some(before) = at.checked_sub(1).filter(|&before| state.spans[before].names_kind()) else { return };
    let kinds = state.spans.iter().filter(|span| span.names_kind()).count();
    if kinds > 1 || !state.context.is_empty() {
        state.spans[before].role = Role::Consumed;
    }
}

/// 옷걸이 걸 훅: in Korean, the object that a product is used with stands before it, with a verb between.
fn purposes(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        let used_for = state.spans[at].korean && state.spans[at].is(Cue::For) && state.spans[at].text != "용";
        if !used_for || state.spans[at].role != Role::Open {
            continue;
        }
        let (start, end) = state.clause(at);
        if !state.spans[at..end].iter().any(Span::names_kind) {
            continue;
        }
        for index in (start..at).rev() {
            let span = &state.spans[index];
            if span.meaning == Meaning::Comma || span.is_any(&[Cue::NotAdjacent, Cue::NotAfter, Cue::Find]) {
                break;
            }
            if span.names_kind() {
                state.spans[index].role = Role::Consumed;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn corrected_values_parts_and_other_objects_are_not_wishes() {
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
