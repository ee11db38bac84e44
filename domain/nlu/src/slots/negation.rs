//! Negation scope: English "not" precedes the excluded names, Korean 말고 follows them; both may exclude several.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Marks excluded names, and consumes those that are only compared with.
pub(crate) fn read(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        if state.spans[at].role != Role::Open {
            continue;
        }
        let span = &state.spans[at];
        if span.is_any(&[Cue::NotBefore, Cue::HateBefore]) {
            before(state, at);
        } else if span.is(Cue::NotAdjacent) {
            after(state, at, true);
        } else if span.is_any(&[Cue::NotAfter, Cue::HateAfter]) {
            after(state, at, false);
        } else if span.is(Cue::Than)
            || matches!(span.text.as_str(), "to" | "over") && at > 0 && state.spans[at - 1].term().is_some()
        {
            than(state, at);
        } else if span.is(Cue::Unneeded) {
            if let Some(before) = at.checked_sub(1).filter(|&before| state.spans[before].term().is_some()) {
                state.spans[before].role = Role::Consumed;
            }
        } else if span.is(Cue::Quoted) {
            quoted(state, at);
        }
    }
}

/// An English negation: excludes the names after it to the end of the list.
fn before(state: &mut ParseState<'_>, at: usize) {
    let bare = matches!(state.spans[at].text.as_str(), "no" | "not");
    let mut names: Vec<usize> = Vec::new();
    for index in at + 1..state.spans.len() {
        let span = &state.spans[index];
        if span.is_name() {
            names.push(index);
        } else if span.meaning == Meaning::Stop
            || span.is_any(&[Cue::NotBefore, Cue::HateBefore, Cue::Like, Cue::AtMostBefore, Cue::Forget, Cue::Mine])
            || span.is(Cue::Clause) && !(names.is_empty() && span.text == "just")
            || span.is(Cue::For) && (!names.is_empty() || span.text.starts_with("for"))
            || span.is(Cue::Find) && (bare || !names.is_empty())
            || span.meaning == Meaning::Comma && !continues_list(state, index)
            || !names.is_empty() && span.is(Cue::Filler) && is_a_verb(&span.text)
            || index > at + 12
        {
            break;
        }
    }
    exclude(state, &names);
}

/// True if a list continues after a comma: another name follows, and then "or" or another joining cue.
fn continues_list(state: &ParseState<'_>, comma: usize) -> bool {
    let rest = state.spans.get(comma + 1..).unwrap_or_default();
    let mut names = 0;
    for span in rest.iter().take(8) {
        if span.is(Cue::Join) {
            return names > 0 || rest.first().is_some_and(|first| first.is(Cue::Join) && first.text != "and");
        } else if span.is_name() {
            names += 1;
        } else if span.meaning != Meaning::Comma && !span.is(Cue::Filler) {
            break;
        }
    }
    false
}

fn is_a_verb(text: &str) -> bool {
    matches!(text, "would" | "will" | "is" | "are" | "was" | "it" | "they" | "he" | "she" | "i" | "we" | "because")
}

/// A Korean negation: excludes the name right before it, and the names joined to that.
fn after(state: &mut ParseState<'_>, at: usize, adjacent: bool) {
    // The part was consumed before: 손잡이 없는 바구니.
    let part = adjacent && at > 0 && state.spans[at].is(Cue::Part);
    if part && state.spans[at - 1].role == Role::Consumed && matches!(state.spans[at - 1].meaning, Meaning::Terms(_)) {
        return;
    }
    let mut names: Vec<usize> = Vec::new();
    let mut joined = true;
    let mut listed = false;
    let mut touching = false;
    for index in (0..at).rev() {
        let span = &state.spans[index];
        if span.is_name() {
            let slot = slot_of(span);
            let same = names.first().is_none_or(|&first| slot_of(&state.spans[first]) == slot);
            let quality_of_kind =
                touching && names.len() == 1 && state.spans[names[0]].names_kind() && !span.names_kind();
            if span.role != Role::Open || !(joined || same && (touching || listed) || quality_of_kind) {
                break;
            }
            names.push(index);
            (joined, listed, touching) = (false, false, true);
            continue;
        }
        if span.is(Cue::Join) {
            joined = true;
            continue;
        }
        if !names.is_empty() && span.meaning == Meaning::Comma {
            touching = false;
            listed = index > 0 && state.spans[index - 1].is_name();
            continue;
        }
        if span.meaning == Meaning::Stop
            || span.is(Cue::Clause) && !span.is(Cue::Join)
            || span.meaning == Meaning::Comma
        {
            break;
        }
        if span.is_any(&[Cue::Like, Cue::NotAdjacent, Cue::NotAfter, Cue::HateAfter, Cue::NotBefore])
            && span.role == Role::Open
        {
            break;
        }
        // The negation belongs to an out-of-vocabulary word: 손잡이 없는.
        let unknown = matches!(span.meaning, Meaning::Other | Meaning::Word);
        if names.is_empty() && adjacent && (unknown && !span.text.ends_with('서') || span.is(Cue::Find)) {
            return;
        }
        if !names.is_empty() {
            let glue = span.is_any(&[Cue::Filler, Cue::One, Cue::MarkerAfter, Cue::Topic]) || is_slot(span);
            if !glue {
                touching = false;
                if !joined && !listed {
                    break;
                }
            } else if span.is_any(&[Cue::Topic, Cue::Object]) {
                touching = false;
            }
        }
    }
    exclude(state, &names);
}

fn is_slot(span: &Span) -> bool {
    span.has_cue(|cue| matches!(cue, Cue::Slot(_)))
}

fn slot_of(span: &Span) -> Option<&'static str> {
    match &span.meaning {
        Meaning::Products(_) => Some("reference"),
        _ => span.term().map(|term| term.slot),
    }
}

/// Excludes names. Of a product kind with adjacent qualities only the qualities are excluded: "no red bag" allows bags.
fn exclude(state: &mut ParseState<'_>, names: &[usize]) {
    let quality = names.iter().any(|&index| !state.spans[index].names_kind() && state.spans[index].term().is_some());
    for &index in names {
        let is_kind = state.spans[index].names_kind();
        let neighbour = names.iter().any(|&other| other.abs_diff(index) == 1 && other != index);
        if !(is_kind && quality && neighbour) {
            state.spans[index].role = Role::Excluded;
        }
    }
}

/// "I prefer small bags to big ones", 큰 가방보다 작은 가방: a name that is compared with is not a wish.
fn than(state: &mut ParseState<'_>, at: usize) {
    if state.spans[at].korean {
        let (start, _) = state.clause(at);
        for index in (start..at).rev() {
            if state.spans[index].term().is_none() && !state.spans[index].is_filler() {
                break;
            }
            if state.spans[index].term().is_some() {
                state.spans[index].role = Role::Consumed;
            }
        }
    } else if state.has(Cue::Like) || state.spans[..at].iter().any(|span| span.text.ends_with("rather")) {
        let (_, end) = state.clause(at);
        state.consume_names(at, end);
    }
}

/// Text written on a product is not a wish: 화장실이라고 써있는 표지판.
fn quoted(state: &mut ParseState<'_>, at: usize) {
    if state.spans[at].korean {
        if let Some(before) = at.checked_sub(1).filter(|&before| state.spans[before].term().is_some()) {
            state.spans[before].role = Role::Consumed;
        }
        return;
    }
    for index in at + 1..state.spans.len().min(at + 6) {
        if state.spans[index].meaning == Meaning::Stop || state.spans[index].meaning == Meaning::Comma {
            break;
        }
        if state.spans[index].term().is_some() {
            state.spans[index].role = Role::Consumed;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn english_negations_reach_as_far_as_the_list() {
        check(
            &fresh(),
            &[
                ("a lamp, no plastic or metal", "product=lamp; -material=plastic; -material=metal"),
                (
                    "a lamp without plastic, metal or glass",
                    "product=lamp; -material=plastic; -material=metal; -material=glass",
                ),
                ("a lamp, not red but blue", "product=lamp; -color=red; color=blue"),
                ("lamps, neither black nor green", "product=lamp; -color=black; -color=green"),
                ("blue instead of red lamps", "color=blue; -color=red; product=lamp"),
                ("anything but candles", "-category=candles"),
                ("no red bags", "-color=red; category=bags"),
                ("a lamp, not too big", "product=lamp; -size=large"),
                ("not just red lamps, blue lamps too", "color=red; product=lamp; color=blue"),
                ("I hate stripes, dots are fine", "-pattern=stripe; pattern=polka dot"),
                ("I'd rather have a metal lamp than a plastic one", "material=metal; product=lamp"),
                ("wool would itch, a cotton throw please", "-material=wool; material=cotton; product=throw"),
                ("plastic free lunch box", "-material=plastic; product=lunch box"),
                ("the lamp isn't too expensive I hope", "product=lamp"),
            ],
        );
    }

    #[test]
    fn korean_negations_reach_back() {
        check(
            &fresh(),
            &[
                ("플라스틱이나 금속 말고 램프", "-material=plastic; -material=metal; product=lamp"),
                ("빨강 초록 말고 파란 리본", "-color=red; -color=green; color=blue; product=ribbon"),
                ("램프 주세요 유리는 빼고", "product=lamp; -material=glass"),
                ("플라스틱 안 들어간 램프", "-material=plastic; product=lamp"),
                ("파란색도 빨간색도 아닌 우산", "-color=blue; -color=red; product=umbrella"),
                ("램프인데 너무 크지 않은 걸로", "product=lamp; -size=large"),
                ("무늬 없는 우산", "pattern=plain; product=umbrella"),
                ("손잡이 없는 바구니", "product=basket"),
                ("주전자 말고 물뿌리개요", "-product=jug; product=watering can"),
                ("유리 제품은 자꾸 깨먹어서 안 사요", "-material=glass"),
                ("큰 가방보다 작은 가방을 선호해요", "size=small; category=bags"),
                ("해골만 아니면 돼요 우산", "-pattern=skull; product=umbrella"),
            ],
        );
    }
}
