//! What is not wanted. English says "not" before it, Korean 말고 after it; both may list several.

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role};
use crate::reading::Reading;

/// Marks what is unwanted, and what is only compared with.
pub(crate) fn read(reading: &mut Reading<'_>) {
    for at in 0..reading.items.len() {
        if reading.items[at].role != Role::Open {
            continue;
        }
        let item = &reading.items[at];
        if item.is_any(&[Cue::NotBefore, Cue::HateBefore]) {
            before(reading, at);
        } else if item.is(Cue::NotAdjacent) {
            after(reading, at, true);
        } else if item.is_any(&[Cue::NotAfter, Cue::HateAfter]) {
            after(reading, at, false);
        } else if item.is(Cue::Than)
            || matches!(item.text.as_str(), "to" | "over") && at > 0 && reading.items[at - 1].term().is_some()
        {
            than(reading, at);
        } else if item.is(Cue::Unneeded) {
            if let Some(before) = at.checked_sub(1).filter(|&before| reading.items[before].term().is_some()) {
                reading.items[before].role = Role::Used;
            }
        } else if item.is(Cue::Quoted) {
            quoted(reading, at);
        }
    }
}

/// An English negation: everything named after it, while the list goes on.
fn before(reading: &mut Reading<'_>, at: usize) {
    let bare = matches!(reading.items[at].text.as_str(), "no" | "not");
    let mut named: Vec<usize> = Vec::new();
    for index in at + 1..reading.items.len() {
        let item = &reading.items[index];
        if item.is_named() {
            named.push(index);
        } else if item.meaning == Meaning::Stop
            || item.is_any(&[Cue::NotBefore, Cue::HateBefore, Cue::Like, Cue::AtMostBefore, Cue::Forget, Cue::Mine])
            || item.is(Cue::Clause) && !(named.is_empty() && item.text == "just")
            || item.is(Cue::For) && (!named.is_empty() || item.text.starts_with("for"))
            || item.is(Cue::Find) && (bare || !named.is_empty())
            || item.meaning == Meaning::Comma && !goes_on(reading, index)
            || !named.is_empty() && item.is(Cue::Filler) && is_a_verb(&item.text)
            || index > at + 12
        {
            break;
        }
    }
    unwant(reading, &named);
}

/// Whether a list goes on after a comma: another name follows, and an "or", or the end, after that.
fn goes_on(reading: &Reading<'_>, comma: usize) -> bool {
    let rest = reading.items.get(comma + 1..).unwrap_or_default();
    let mut names = 0;
    for item in rest.iter().take(8) {
        if item.is(Cue::Join) {
            return names > 0 || rest.first().is_some_and(|first| first.is(Cue::Join) && first.text != "and");
        } else if item.is_named() {
            names += 1;
        } else if item.meaning != Meaning::Comma && !item.is(Cue::Filler) {
            break;
        }
    }
    false
}

fn is_a_verb(text: &str) -> bool {
    matches!(text, "would" | "will" | "is" | "are" | "was" | "it" | "they" | "he" | "she" | "i" | "we" | "because")
}

/// A Korean negation: what is named right before it, and what is joined to that.
fn after(reading: &mut Reading<'_>, at: usize, adjacent: bool) {
    // A part that is missing was used up: 손잡이 없는 바구니.
    let part = adjacent && at > 0 && reading.items[at].is(Cue::Part);
    if part && reading.items[at - 1].role == Role::Used && matches!(reading.items[at - 1].meaning, Meaning::Terms(_)) {
        return;
    }
    let mut named: Vec<usize> = Vec::new();
    let mut joined = true;
    let mut listed = false;
    let mut touching = false;
    for index in (0..at).rev() {
        let item = &reading.items[index];
        if item.is_named() {
            let slot = slot_of(item);
            let same = named.first().is_none_or(|&first| slot_of(&reading.items[first]) == slot);
            let quality_of_thing =
                touching && named.len() == 1 && reading.items[named[0]].is_thing() && !item.is_thing();
            if item.role != Role::Open || !(joined || same && (touching || listed) || quality_of_thing) {
                break;
            }
            named.push(index);
            (joined, listed, touching) = (false, false, true);
            continue;
        }
        if item.is(Cue::Join) {
            joined = true;
            continue;
        }
        if !named.is_empty() && item.meaning == Meaning::Comma {
            touching = false;
            listed = index > 0 && reading.items[index - 1].is_named();
            continue;
        }
        if item.meaning == Meaning::Stop
            || item.is(Cue::Clause) && !(item.is(Cue::Join))
            || item.meaning == Meaning::Comma
        {
            break;
        }
        if item.is_any(&[Cue::Like, Cue::NotAdjacent, Cue::NotAfter, Cue::HateAfter, Cue::NotBefore])
            && item.role == Role::Open
        {
            break;
        }
        // What is known by a word that nobody knows cannot be ruled out: 손잡이 없는.
        let unknown = matches!(item.meaning, Meaning::Other | Meaning::Word);
        if named.is_empty() && adjacent && (unknown && !item.text.ends_with('서') || item.is(Cue::Find)) {
            return;
        }
        if !named.is_empty() {
            let glue = item.is_any(&[Cue::Filler, Cue::One, Cue::MarkerAfter, Cue::Topic]) || is_slot(item);
            if !glue {
                touching = false;
                if !joined && !listed {
                    break;
                }
            } else if item.is_any(&[Cue::Topic, Cue::Object]) {
                touching = false;
            }
        }
    }
    unwant(reading, &named);
}

fn is_slot(item: &Item) -> bool {
    item.cue(|cue| matches!(cue, Cue::Slot(_)).then_some(())).is_some()
}

fn slot_of(item: &Item) -> Option<&'static str> {
    match &item.meaning {
        Meaning::Products(_) => Some("reference"),
        _ => item.term().map(|term| term.slot),
    }
}

/// Of a thing with its qualities, the qualities are unwanted: who wants no red bag may well want a bag.
fn unwant(reading: &mut Reading<'_>, named: &[usize]) {
    let quality = named.iter().any(|&index| !reading.items[index].is_thing() && reading.items[index].term().is_some());
    for &index in named {
        let thing = reading.items[index].is_thing();
        let neighbour = named.iter().any(|&other| other.abs_diff(index) == 1 && other != index);
        if !(thing && quality && neighbour) {
            reading.items[index].role = Role::Unwanted;
        }
    }
}

/// "I prefer small bags to big ones", 큰 가방보다 작은 가방: what is only compared with says nothing of its own.
fn than(reading: &mut Reading<'_>, at: usize) {
    if reading.items[at].korean {
        let (start, _) = reading.clause(at);
        for index in (start..at).rev() {
            if reading.items[index].term().is_none() && !reading.items[index].is_filler() {
                break;
            }
            if reading.items[index].term().is_some() {
                reading.items[index].role = Role::Used;
            }
        }
    } else if reading.has(Cue::Like) || reading.items[..at].iter().any(|item| item.text.ends_with("rather")) {
        let (_, end) = reading.clause(at);
        for item in reading.items[at..end].iter_mut().filter(|item| item.term().is_some()) {
            item.role = Role::Used;
        }
    }
}

/// What is written on a thing is no wish: 화장실이라고 써있는 표지판.
fn quoted(reading: &mut Reading<'_>, at: usize) {
    if reading.items[at].korean {
        if let Some(before) = at.checked_sub(1).filter(|&before| reading.items[before].term().is_some()) {
            reading.items[before].role = Role::Used;
        }
        return;
    }
    for index in at + 1..reading.items.len().min(at + 6) {
        if reading.items[index].meaning == Meaning::Stop || reading.items[index].meaning == Meaning::Comma {
            break;
        }
        if reading.items[index].term().is_some() {
            reading.items[index].role = Role::Used;
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
