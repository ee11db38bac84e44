//! Slots of which any value will do: "any colour is fine", 색은 상관없어.

use jangbogo_events::is_kind;

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Collects the slots of which any value will do, and consumes their spans.
pub(crate) fn read(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        if state.spans[at].role != Role::Open {
            continue;
        }
        if state.spans[at].is(Cue::NotNeeded) {
            not_needed(state, at);
        } else if state.spans[at].is(Cue::Any) || any_of_a_slot(&state.spans, at) {
            any(state, at);
        }
    }
}

/// True for "any colour", but not for "any lamp".
fn any_of_a_slot(spans: &[Span], at: usize) -> bool {
    let text = spans[at].text.as_str();
    (matches!(text, "any" | "아무" | "어떤" | "무슨") || text.ends_with(" any"))
        && spans.get(at + 1).and_then(slot).is_some()
}

fn slot(span: &Span) -> Option<&'static str> {
    if span.role == Role::Consumed {
        return None;
    }
    span.cue(|cue| if let Cue::Slot(slot) = cue { Some(slot) } else { None })
}

fn any(state: &mut ParseState<'_>, at: usize) {
    let (start, end) = state.clause(at);
    let (start, end) = if state.spans[at].korean { (start, (at + 1).max(own_end(state, at))) } else { (start, end) };
    let mut slots: Vec<(usize, &'static str)> = Vec::new();
    for index in start..end {
        if let Some(slot) = slot(&state.spans[index])
            && !belongs_to_a_value(&state.spans, index, slot)
        {
            slots.push((index, slot));
        }
    }
    if slots.is_empty() {
        let indifferent = ["matter", "care"].iter().any(|word| state.spans[at].text.contains(word));
        if indifferent {
            either(state, start, at);
        }
        return;
    }
    for (index, slot) in slots {
        state.add_indifferent(slot);
        state.spans[index].role = Role::Consumed;
    }
    state.spans[at].role = Role::Consumed;
}

/// Korean names the slots before the cue, except `아무 색이나`.
fn own_end(state: &ParseState<'_>, at: usize) -> usize {
    let next = state.spans.get(at + 1).and_then(slot);
    if next.is_some() { at + 2 } else { at + 1 }
}

/// True for 색 in 빨간색, which is not the slot.
fn belongs_to_a_value(spans: &[Span], at: usize, slot: &str) -> bool {
    let before = at.checked_sub(1).map(|before| &spans[before]);
    before.is_some_and(|before| {
        !spans[at].spaced
            && matches!(&before.meaning, Meaning::Terms(terms) if terms.iter().any(|term| term.slot == slot))
    })
}

/// "Could be wood, could be metal, doesn't matter": two or more values of one slot.
fn either(state: &mut ParseState<'_>, start: usize, at: usize) {
    let names: Vec<usize> = (start..at).filter(|&index| state.spans[index].term().is_some()).collect();
    let slots: Vec<&'static str> =
        names.iter().filter_map(|&index| state.spans[index].term().map(|term| term.slot)).collect();
    let [first, rest @ ..] = &slots[..] else { return };
    if !rest.is_empty() && rest.iter().all(|slot| slot == first) && !is_kind(first) {
        state.add_indifferent(first);
        for index in names {
            state.spans[index].role = Role::Consumed;
        }
    }
}

/// "It doesn't have to be wicker": any material will do.
fn not_needed(state: &mut ParseState<'_>, at: usize) {
    let (start, end) = state.clause(at);
    let span = if state.spans[at].korean { start..at } else { at + 1..end };
    let names: Vec<usize> = span.filter(|&index| state.spans[index].term().is_some()).collect();
    for index in names {
        let Some(slot) = state.spans[index].term().map(|term| term.slot) else { continue };
        if slot != "product" && slot != "category" {
            state.add_indifferent(slot);
            state.spans[index].role = Role::Consumed;
        }
    }
    // 꼭 15파운드 아니어도: the price was read before.
    let start = state.clause(at).0;
    if state.spans[start..at]
        .iter()
        .any(|span| span.role == Role::Consumed && matches!(span.meaning, Meaning::Number(_)))
    {
        state.price = None;
        state.add_indifferent("price");
    }
    state.spans[at].role = Role::Consumed;
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn slots_of_which_any_value_will_do() {
        check(
            &fresh(),
            &[
                ("a large basket, any colour", "size=large; product=basket; any color"),
                ("색상 상관없이 큰 바구니", "size=large; product=basket; any color"),
                ("price is no object, show me lamps", "product=lamp; any price"),
                ("brands mean nothing to me", "any brand"),
                ("do you have any red lamps", "color=red; product=lamp"),
                ("any pattern but skulls, a lamp", "-pattern=skull; product=lamp"),
            ],
        );
        check(
            &shown(),
            &[
                ("색깔도 무늬도 아무거나요", "any color; any pattern"),
                ("it doesn't have to be red", "any color"),
                ("꼭 빨간색 아니어도 돼요", "any color"),
            ],
        );
    }
}
