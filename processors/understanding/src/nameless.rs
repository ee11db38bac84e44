//! Things and patterns that nobody has a word for, and patterns that are things themselves.

use std::sync::Arc;

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role, Term};
use crate::reading::Reading;
use crate::things::{is_a_verb, is_an_adjective, modifies};

/// Takes words for what they must be where they stand.
pub(crate) fn read(reading: &mut Reading<'_>) {
    listed(reading);
    motifs(reading);
    shapes(reading);
    if !reading.names_a_thing() {
        unknown(reading);
    }
}

/// A thing that nobody has a word for: the first nouns that a request speaks of.
fn unknown(reading: &mut Reading<'_>) {
    let chats = [Cue::Injection, Cue::Service, Cue::Abuse, Cue::Chat, Cue::Greet, Cue::Thanks];
    let asked = reading.has(Cue::Find) || reading.has(Cue::Sell);
    let fragment = reading.context.is_empty() && !reading.has(Cue::Like) && !reading.has(Cue::Habit);
    let chats = chats.into_iter().any(|cue| reading.has(cue));
    if !asked && (chats || !fragment) || reading.has(Cue::Forget) {
        return;
    }
    if !reading.context.is_empty() && !reading.has(Cue::Sell) {
        return;
    }
    // What follows the asking is asked for, if anything does.
    let asking = reading.items.iter().position(|item| item.is_any(&[Cue::Find, Cue::Sell]));
    let follows = asking.is_some_and(|asking| reading.items[asking..].iter().any(|item| item.meaning == Meaning::Word));
    let mut at = asking.filter(|_| follows || !reading.context.is_empty()).unwrap_or(0);
    while at < reading.items.len() {
        let length =
            reading.items[at..].iter().take_while(|item| item.meaning == Meaning::Word && !item.korean).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let before = reading.items[..at].iter().rev().find(|item| !item.is(Cue::Filler));
        let elsewhere = before.is_some_and(|item| {
            item.is_any(&[Cue::For, Cue::Mine, Cue::Quoted]) || NOT_FOUND_AFTER.contains(&item.text.as_str())
        });
        let words: Vec<String> = reading.items[at..at + length].iter().map(|item| lexicon::key(&item.text)).collect();
        let last = words.len() - 1;
        let verb = at > 0 && is_a_verb(&reading.items, at - 1);
        if !elsewhere && !verb && !is_a_verb(&reading.items, at) && !is_an_adjective(&words[last]) && length <= 3 {
            let value: Arc<str> = words.join(" ").into();
            reading.use_up(at, at + last);
            reading.items[at + last].meaning = Meaning::Terms(vec![Term { slot: "product", value, weak: false }]);
            return;
        }
        at += length;
    }
}

/// After these, it is said for whom or what the thing is.
#[rustfmt::skip]
const NOT_FOUND_AFTER: &[&str] = &[
    "gift for", "gifts for", "present for", "presents for", "something for", "anything for", "something to", "anything to",
];

/// "A wooden star": where no shorter thing is named, these are things themselves.
fn shapes(reading: &mut Reading<'_>) {
    let something = |item: &Item| item.is(Cue::One) && !matches!(item.text.as_str(), "one" | "ones");
    let asks_otherwise = reading.items.iter().any(something) || reading.has(Cue::Like) || !reading.context.is_empty();
    if asks_otherwise || reading.names_a_thing() {
        return;
    }
    for at in 0..reading.items.len() {
        let item = &reading.items[at];
        let value = item.term().filter(|term| term.slot == "pattern" && matches!(&*term.value, "heart" | "star"));
        let shown_on = at > 0 && reading.items[at - 1].is(Cue::MarkerBefore)
            || reading.items.get(at + 1).is_some_and(|next| next.is(Cue::MarkerAfter));
        if let Some(term) = value.filter(|_| item.role == Role::Open && !item.korean && !shown_on) {
            let term = Term { slot: "product", ..term.clone() };
            reading.items[at].meaning = Meaning::Terms(vec![term]);
        }
    }
}

/// "A pouffe or a stool": things that nobody has a word for, joined to one that is known.
fn listed(reading: &mut Reading<'_>) {
    let items = &reading.items;
    let wanted = |item: &Item| item.is_thing() && item.role == Role::Open;
    let mut found = Vec::new();
    for join in (1..items.len()).filter(|&at| items[at].is(Cue::Join) && !items[at].korean) {
        let after = items[join + 1..].iter().position(|item| !item.is(Cue::Filler)).map(|next| join + 1 + next);
        let Some(after) = after else { continue };
        let ends = items.get(after + 1).is_none_or(|next| {
            matches!(next.meaning, Meaning::Stop | Meaning::Comma) || next.is_any(&[Cue::For, Cue::Find])
        });
        if wanted(&items[join - 1]) && modifies(&items[after]) && !items[after].is_thing() && ends {
            found.push(after);
        }
        let begins = join < 2 || items[join - 2].is_any(&[Cue::Filler, Cue::Find, Cue::Sell]);
        if wanted(&items[after]) && modifies(&items[join - 1]) && !items[join - 1].is_thing() && begins {
            found.push(join - 1);
        }
    }
    for at in found {
        let value = lexicon::key(&reading.items[at].text);
        reading.items[at].meaning = Meaning::Terms(vec![Term::new("product", &value)]);
    }
}

/// A pattern that nobody has a word for: what "print" or "shaped" is said of.
fn motifs(reading: &mut Reading<'_>) {
    for at in 1..reading.items.len() {
        let word = &reading.items[at - 1];
        if word.meaning != Meaning::Word || word.role != Role::Open {
            continue;
        }
        let slot = match reading.items[at].text.as_str() {
            "style" => "style",
            marker if MARKERS.contains(&marker) => "pattern",
            _ => continue,
        };
        let value = lexicon::key(&word.text);
        reading.items[at - 1].meaning = Meaning::Terms(vec![Term::new(slot, &value)]);
    }
}

/// After these, anything is a pattern.
const MARKERS: &[&str] = &["print", "shaped", "themed", "motif", "pattern", "patterned", "shape", "design"];

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn words_are_things_and_patterns_where_they_stand_as_such() {
        check(
            &fresh(),
            &[
                ("a gift for a keen astronomer", ""),
                ("a pouffe or a stool", "product=pouffe; product=stool"),
                ("a lamp and some string", "product=lamp; product=string"),
                ("a metal star to hang up", "material=metal; product=star"),
                ("cherry print bowls", "pattern=cherry; product=bowl"),
                ("a spatchcock print bowl", "pattern=spatchcock; product=bowl"),
                ("something to organise", ""),
                ("something to store onions in", ""),
                ("hearts, except the red ones", "product=heart; -color=red"),
            ],
        );
    }
}
