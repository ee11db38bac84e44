//! What is taken back: "forget that I like plastic", 빨간색 좋아한다는 건 잊어줘.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::{prices, quantities};
use crate::span::{Meaning, Role};

/// Marks what is taken back, and uses up what says so.
pub fn read(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        if state.spans[at].role != Role::Open || !state.spans[at].is(Cue::Forget) {
            continue;
        }
        let (start, end) = if state.spans[at].korean { backward(state, at) } else { forward(state, at) };
        let mut any = mark(state, start, end);
        // "Small? Did I say small? Cancel that."
        if !any && state.spans[..at].iter().any(|span| span.is(Cue::Said) || span.is_named()) {
            any = mark(state, 0, at);
        }
        let all = state.spans.iter().any(|span| span.is(Cue::Everything));
        if !any && all && !state.has(Cue::Injection) {
            state.reset = true;
        }
    }
    no_longer_needed(state);
}

/// English says what after the cue, up to the next wish.
fn forward(state: &ParseState<'_>, at: usize) -> (usize, usize) {
    let mut named = false;
    for (index, span) in state.spans.iter().enumerate().skip(at + 1) {
        named |= span.is_named() || matches!(span.meaning, Meaning::Number(_));
        let wish = span.is(Cue::Find) || span.meaning == Meaning::Comma;
        let cleft = span.is(Cue::Any) || span.is(Cue::Clause);
        if span.meaning == Meaning::Stop || named && (wish || cleft) || index > at + 14 {
            return (at + 1, index);
        }
    }
    (at + 1, state.spans.len())
}

/// Korean says what before the cue, in its clause.
fn backward(state: &ParseState<'_>, at: usize) -> (usize, usize) {
    let mut start = at;
    for (index, span) in state.spans[..at].iter().enumerate().rev() {
        let past = span.ends_a_clause()
            && (span.meaning == Meaning::Stop || state.spans[index + 1..at].iter().any(crate::span::Span::is_named));
        if past || index + 16 < at {
            break;
        }
        start = index;
    }
    (start, at)
}

/// Takes back what a run of items names. Returns whether it named anything.
fn mark(state: &mut ParseState<'_>, start: usize, end: usize) -> bool {
    let mut any = false;
    if let Some((currency, minor)) = prices::retracted(state, start, end) {
        state.retracted.push(("price", format!("{minor} {currency}")));
        any = true;
    } else if let Some(count) = quantities::said(state, start, end) {
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
                span.role = Role::Used;
            }
        }
    }
    any
}

/// "Forget the colour" takes back whatever was said of colours: any will do.
fn forget_slot(state: &mut ParseState<'_>, start: usize, end: usize) -> bool {
    let slot = |cue| if let Cue::Slot(slot) = cue { Some(slot) } else { None };
    let slots: Vec<&'static str> = state.spans[start..end].iter().filter_map(|span| span.cue(slot)).collect();
    for slot in &slots {
        if !state.indifferent.contains(slot) {
            state.indifferent.push(slot);
        }
    }
    state.given_up |= !slots.is_empty();
    !slots.is_empty()
}

/// With these, what holds no longer was said before: "not bothered about vintage any more", "glass is fine after all".
const ENGLISH_TOLD: &[Cue] = &[Cue::NotBefore, Cue::HateBefore, Cue::Any, Cue::IsFine];

/// "We don't need the mugs after all": a thing that is no longer needed is taken back rather than ruled out.
fn no_longer_needed(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        let span = &state.spans[at];
        if span.role != Role::Open || !span.is(Cue::NoLonger) {
            continue;
        }
        let korean = span.korean;
        let start = state.spans[..at].iter().rposition(|span| span.meaning == Meaning::Stop).map_or(0, |stop| stop + 1);
        let told = state.spans[start..at]
            .iter()
            .any(|span| if korean { span.is(Cue::Said) } else { span.is_any(ENGLISH_TOLD) });
        // 이제 안 좋아해요: what was liked is liked no more.
        let told = told || korean && state.spans.get(at + 1).is_some_and(|span| span.is(Cue::HateAfter));
        if told && !state.spans[at + 1..].iter().any(|span| korean && span.is_named()) {
            mark(state, start, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn what_was_said_is_taken_back() {
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
