//! Slots of which any value will do: "any colour is fine", 색은 상관없어.

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role};
use crate::reading::Reading;

/// Finds the slots of which any value will do, and uses up what says so.
pub(crate) fn read(reading: &mut Reading<'_>) {
    for at in 0..reading.items.len() {
        if reading.items[at].role != Role::Open {
            continue;
        }
        if reading.items[at].is(Cue::NotNeeded) {
            not_needed(reading, at);
        } else if reading.items[at].is(Cue::Any) || any_of_a_slot(&reading.items, at) {
            any(reading, at);
        }
    }
}

/// "Any colour", but not any of something else.
fn any_of_a_slot(items: &[Item], at: usize) -> bool {
    matches!(items[at].text.as_str(), "any" | "아무" | "어떤" | "무슨") && items.get(at + 1).and_then(slot).is_some()
        || items[at].text.ends_with(" any") && items.get(at + 1).and_then(slot).is_some()
}

fn slot(item: &Item) -> Option<&'static str> {
    if item.role == Role::Used {
        return None;
    }
    item.cue(|cue| if let Cue::Slot(slot) = cue { Some(slot) } else { None })
}

fn any(reading: &mut Reading<'_>, at: usize) {
    let (start, end) = reading.clause(at);
    let (start, end) =
        if reading.items[at].korean { (start, (at + 1).max(own_end(reading, at))) } else { (start, end) };
    let mut slots: Vec<(usize, &'static str)> = Vec::new();
    for index in start..end {
        if let Some(slot) = slot(&reading.items[index])
            && !belongs_to_a_value(&reading.items, index, slot)
        {
            slots.push((index, slot));
        }
    }
    if slots.is_empty() {
        let indifferent = ["matter", "care"].iter().any(|word| reading.items[at].text.contains(word));
        if indifferent {
            either(reading, start, at);
        }
        return;
    }
    for (index, slot) in slots {
        push(reading, slot);
        reading.items[index].role = Role::Used;
    }
    reading.items[at].role = Role::Used;
}

/// Korean says the slots before the cue; `아무 색이나` after it.
fn own_end(reading: &Reading<'_>, at: usize) -> usize {
    let next = reading.items.get(at + 1).and_then(slot);
    if next.is_some() { at + 2 } else { at + 1 }
}

/// The word for a colour in 빨간색 says nothing about colours in general.
fn belongs_to_a_value(items: &[Item], at: usize, slot: &str) -> bool {
    let before = at.checked_sub(1).map(|before| &items[before]);
    before.is_some_and(|before| {
        !items[at].spaced
            && matches!(&before.meaning, Meaning::Terms(terms) if terms.iter().any(|term| term.slot == slot))
    })
}

/// "Could be wood, could be metal, doesn't matter."
fn either(reading: &mut Reading<'_>, start: usize, at: usize) {
    let named: Vec<usize> = (start..at).filter(|&index| reading.items[index].term().is_some()).collect();
    let slots: Vec<&'static str> =
        named.iter().filter_map(|&index| reading.items[index].term().map(|term| term.slot)).collect();
    let [first, rest @ ..] = &slots[..] else { return };
    if !rest.is_empty() && rest.iter().all(|slot| slot == first) && !matches!(*first, "product" | "category") {
        push(reading, first);
        for index in named {
            reading.items[index].role = Role::Used;
        }
    }
}

/// "It doesn't have to be wicker": any material will do.
fn not_needed(reading: &mut Reading<'_>, at: usize) {
    let (start, end) = reading.clause(at);
    let span = if reading.items[at].korean { start..at } else { at + 1..end };
    let named: Vec<usize> = span.filter(|&index| reading.items[index].term().is_some()).collect();
    for index in named {
        let Some(slot) = reading.items[index].term().map(|term| term.slot) else { continue };
        if slot != "product" && slot != "category" {
            push(reading, slot);
            reading.items[index].role = Role::Used;
        }
    }
    // 꼭 15파운드 아니어도: the price was read before.
    let start = reading.clause(at).0;
    if reading.items[start..at].iter().any(|item| item.role == Role::Used && matches!(item.meaning, Meaning::Number(_)))
    {
        reading.price = None;
        push(reading, "price");
    }
    reading.items[at].role = Role::Used;
}

fn push(reading: &mut Reading<'_>, slot: &'static str) {
    if !reading.indifferent.contains(&slot) {
        reading.indifferent.push(slot);
    }
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
