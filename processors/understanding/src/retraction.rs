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
        // "Small? Did I say small? Cancel that."
        if !any && reading.items[..at].iter().any(|item| item.is(Cue::Said) || item.is_named()) {
            any = mark(reading, 0, at);
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
        if item.role == Role::Open && item.term().is_some_and(|term| !term.weak) {
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

/// "Forget the colour" takes back whatever was said of colours: any will do.
fn forget_slot(reading: &mut Reading<'_>, start: usize, end: usize) -> bool {
    let slot = |cue| if let Cue::Slot(slot) = cue { Some(slot) } else { None };
    let slots: Vec<&'static str> = reading.items[start..end].iter().filter_map(|item| item.cue(slot)).collect();
    for slot in &slots {
        if !reading.indifferent.contains(slot) {
            reading.indifferent.push(slot);
        }
    }
    reading.given_up |= !slots.is_empty();
    !slots.is_empty()
}

/// With these, what holds no longer was said before: "not bothered about vintage any more", "glass is fine after all".
const ENGLISH_TOLD: &[Cue] = &[Cue::NotBefore, Cue::HateBefore, Cue::Any, Cue::IsFine];

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
            .any(|item| if korean { item.is(Cue::Said) } else { item.is_any(ENGLISH_TOLD) });
        // 이제 안 좋아해요: what was liked is liked no more.
        let told = told || korean && reading.items.get(at + 1).is_some_and(|item| item.is(Cue::HateAfter));
        if told && !reading.items[at + 1..].iter().any(|item| korean && item.is_named()) {
            mark(reading, start, at);
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
