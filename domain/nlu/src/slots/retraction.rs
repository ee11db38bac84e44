//! Retractions: "forget that I like plastic", 빨간색 좋아한다는 건 잊어줘.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::{prices, quantities};
use crate::span::{Meaning, Role, Span};

/// Marks retracted names, and consumes the rest of the retraction.
pub(crate) fn read(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        if state.spans[at].role != Role::Open || !state.spans[at].is(Cue::Forget) {
            continue;
        }
        let (start, end) = if state.spans[at].korean { backward(state, at) } else { forward(state, at) };
        let mut any = retract(state, start, end);
        // "Small? Did I say small? Cancel that."
        if !any && state.spans[..at].iter().any(|span| span.is(Cue::Said) || span.is_name()) {
            any = retract(state, 0, at);
        }
        let all = state.spans.iter().any(|span| span.is(Cue::Everything));
        if !any && all && !state.has(Cue::Injection) {
            state.reset = true;
        }
    }
    no_longer_needed(state);
}

/// Range of an English retraction: after the cue, up to the next wish.
fn forward(state: &ParseState<'_>, at: usize) -> (usize, usize) {
    let mut has_name = false;
    for (index, span) in state.spans.iter().enumerate().skip(at + 1) {
        has_name |= span.is_name() || matches!(span.meaning, Meaning::Number(_));
        let wish = span.is(Cue::Find) || span.meaning == Meaning::Comma;
        let cleft = span.is(Cue::Any) || span.is(Cue::Clause);
        if span.meaning == Meaning::Stop || has_name && (wish || cleft) || index > at + 14 {
            return (at + 1, index);
        }
    }
    (at + 1, state.spans.len())
}

/// Range of a Korean retraction: before the cue, in its clause.
fn backward(state: &ParseState<'_>, at: usize) -> (usize, usize) {
    let mut start = at;
    for (index, span) in state.spans[..at].iter().enumerate().rev() {
        let past = span.ends_a_clause()
            && (span.meaning == Meaning::Stop || state.spans[index + 1..at].iter().any(Span::is_name));
        if past || index + 16 < at {
            break;
        }
        start = index;
    }
    (start, at)
}

/// Retracts the names in a range of spans. Returns whether there was any.
fn retract(state: &mut ParseState<'_>, start: usize, end: usize) -> bool {
    let mut any = false;
    if let Some((currency, minor)) = prices::retracted(state, start, end) {
        state.retracted.push(("price", format!("{minor} {currency}")));
        any = true;
    } else if let Some(count) = quantities::retracted(state, start, end) {
        state.retracted.push(("quantity", count.to_string()));
        any = true;
    }
    for span in &mut state.spans[start..end] {
        if span.role == Role::Open && span.term().is_some_and(|term| !term.weak) {
            span.role = Role::Retracted;
            any = true;
        }
    }
    if !any {
        any = forget_slot(state, start, end);
    }
    if any {
        for span in &mut state.spans[start..end] {
            if span.role == Role::Open {
                span.role = Role::Consumed;
            }
        }
    }
    any
}

/// "Forget the colour" retracts all colours: any will do.
fn forget_slot(state: &mut ParseState<'_>, start: usize, end: usize) -> bool {
    let slot = |cue| if let Cue::Slot(slot) = cue { Some(slot) } else { None };
    let slots: Vec<&'static str> = state.spans[start..end].iter().filter_map(|span| span.cue(slot)).collect();
    for slot in &slots {
        state.add_indifferent(slot);
    }
    state.forgets_slot |= !slots.is_empty();
    !slots.is_empty()
}

/// Cues of a retracted earlier statement: "not bothered about vintage any more", "glass is fine after all".
const ENGLISH_FORMER_STATEMENT: &[Cue] = &[Cue::NotBefore, Cue::HateBefore, Cue::Any, Cue::IsFine];

/// "We don't need the mugs after all": a product that is no longer needed is retracted, not excluded.
fn no_longer_needed(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        let span = &state.spans[at];
        if span.role != Role::Open || !span.is(Cue::NoLonger) {
            continue;
        }
        let korean = span.korean;
        let start = state.spans[..at].iter().rposition(|span| span.meaning == Meaning::Stop).map_or(0, |stop| stop + 1);
        let is_former = state.spans[start..at]
            .iter()
            .any(|span| if korean { span.is(Cue::Said) } else { span.is_any(ENGLISH_FORMER_STATEMENT) });
        // 이제 안 좋아해요: a former taste no longer holds.
        let is_former = is_former || korean && state.spans.get(at + 1).is_some_and(|span| span.is(Cue::HateAfter));
        if is_former && !state.spans[at + 1..].iter().any(|span| korean && span.is_name()) {
            retract(state, start, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn earlier_statements_are_retracted() {
        check(
            &fresh(),
            &[
                ("forget that I like plastic", "forget material=plastic"),
                ("please delete scandinavian from my tastes", "forget style=scandinavian"),
                ("I don't hate yellow any more", "forget color=yellow"),
                ("I'm not bothered about vintage any more", "forget style=vintage"),
                ("ignore what I said about not wanting florals", "forget pattern=floral"),
                ("빨간색 좋아한다는 건 잊어줘", "forget color=red"),
                ("나무 얘기한 건 무시하고 금속 램프", "material=metal; product=lamp; forget material=wood"),
                ("actually forget bunting, let me see balloons", "product=balloon; forget product=bunting"),
                ("pretend I never mentioned colour", "any color"),
            ],
        );
        check(
            &shown(),
            &[
                ("I don't need the lunch bag after all", "forget product=lunch bag"),
                ("never mind the three pound limit", "forget price=300 GBP"),
                ("열 개라고 했던 수량은 취소할게요", "forget quantity=10"),
                ("처음부터 다시 할게요 전부 지워주세요", "forget everything=everything"),
            ],
        );
    }
}
