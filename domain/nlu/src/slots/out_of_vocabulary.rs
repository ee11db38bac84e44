//! Things and patterns that nobody has a word for, and patterns that are things themselves.

use std::sync::Arc;

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::product_kind::{is_a_verb, is_an_adjective, modifies};
use crate::span::{Meaning, Role, Span, Term};

/// Takes words for what they must be where they stand.
pub fn read(state: &mut ParseState<'_>) {
    listed(state);
    motifs(state);
    shapes(state);
    if !state.names_a_thing() {
        unknown(state);
    }
}

/// A thing that nobody has a word for: the first nouns that a request speaks of.
fn unknown(state: &mut ParseState<'_>) {
    let chats = [Cue::Injection, Cue::Service, Cue::Abuse, Cue::Chat, Cue::Greet, Cue::Thanks];
    let asked = state.has(Cue::Find) || state.has(Cue::Sell);
    let fragment = state.context.is_empty() && !state.has(Cue::Like) && !state.has(Cue::Habit);
    let chats = chats.into_iter().any(|cue| state.has(cue));
    if !asked && (chats || !fragment) || state.has(Cue::Forget) {
        return;
    }
    if !state.context.is_empty() && !state.has(Cue::Sell) {
        return;
    }
    // What follows the asking is asked for, if anything does.
    let asking = state.spans.iter().position(|span| span.is_any(&[Cue::Find, Cue::Sell]));
    let follows = asking.is_some_and(|asking| state.spans[asking..].iter().any(|span| span.meaning == Meaning::Word));
    let mut at = asking.filter(|_| follows || !state.context.is_empty()).unwrap_or(0);
    while at < state.spans.len() {
        let length = state.spans[at..].iter().take_while(|span| span.meaning == Meaning::Word && !span.korean).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let before = state.spans[..at].iter().rev().find(|span| !span.is(Cue::Filler));
        let elsewhere = before.is_some_and(|span| {
            span.is_any(&[Cue::For, Cue::Mine, Cue::Quoted]) || NOT_FOUND_AFTER.contains(&span.text.as_str())
        });
        let words: Vec<String> =
            state.spans[at..at + length].iter().map(|span| jangbogo_lexicon::key(&span.text)).collect();
        let last = words.len() - 1;
        let verb = at > 0 && is_a_verb(&state.spans, at - 1);
        if !elsewhere && !verb && !is_a_verb(&state.spans, at) && !is_an_adjective(&words[last]) && length <= 3 {
            let value: Arc<str> = words.join(" ").into();
            state.use_up(at, at + last);
            state.spans[at + last].meaning = Meaning::Terms(vec![Term { slot: "product", value, weak: false }]);
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
fn shapes(state: &mut ParseState<'_>) {
    let something = |span: &Span| span.is(Cue::One) && !matches!(span.text.as_str(), "one" | "ones");
    let asks_otherwise = state.spans.iter().any(something) || state.has(Cue::Like) || !state.context.is_empty();
    if asks_otherwise || state.names_a_thing() {
        return;
    }
    for at in 0..state.spans.len() {
        let span = &state.spans[at];
        let value = span.term().filter(|term| term.slot == "pattern" && matches!(&*term.value, "heart" | "star"));
        let shown_on = at > 0 && state.spans[at - 1].is(Cue::MarkerBefore)
            || state.spans.get(at + 1).is_some_and(|next| next.is(Cue::MarkerAfter));
        if let Some(term) = value.filter(|_| span.role == Role::Open && !span.korean && !shown_on) {
            let term = Term { slot: "product", ..term.clone() };
            state.spans[at].meaning = Meaning::Terms(vec![term]);
        }
    }
}

/// "A pouffe or a stool": things that nobody has a word for, joined to one that is known.
fn listed(state: &mut ParseState<'_>) {
    let spans = &state.spans;
    let wanted = |span: &Span| span.is_thing() && span.role == Role::Open;
    let mut found = Vec::new();
    for join in (1..spans.len()).filter(|&at| spans[at].is(Cue::Join) && !spans[at].korean) {
        let after = spans[join + 1..].iter().position(|span| !span.is(Cue::Filler)).map(|next| join + 1 + next);
        let Some(after) = after else { continue };
        let ends = spans.get(after + 1).is_none_or(|next| {
            matches!(next.meaning, Meaning::Stop | Meaning::Comma) || next.is_any(&[Cue::For, Cue::Find])
        });
        if wanted(&spans[join - 1]) && modifies(&spans[after]) && !spans[after].is_thing() && ends {
            found.push(after);
        }
        let begins = join < 2 || spans[join - 2].is_any(&[Cue::Filler, Cue::Find, Cue::Sell]);
        if wanted(&spans[after]) && modifies(&spans[join - 1]) && !spans[join - 1].is_thing() && begins {
            found.push(join - 1);
        }
    }
    for at in found {
        let value = jangbogo_lexicon::key(&state.spans[at].text);
        state.spans[at].meaning = Meaning::Terms(vec![Term::new("product", &value)]);
    }
}

/// A pattern that nobody has a word for: what "print" or "shaped" is said of.
fn motifs(state: &mut ParseState<'_>) {
    for at in 1..state.spans.len() {
        let word = &state.spans[at - 1];
        if word.meaning != Meaning::Word || word.role != Role::Open {
            continue;
        }
        let slot = match state.spans[at].text.as_str() {
            "style" => "style",
            marker if MARKERS.contains(&marker) => "pattern",
            _ => continue,
        };
        let value = jangbogo_lexicon::key(&word.text);
        state.spans[at - 1].meaning = Meaning::Terms(vec![Term::new(slot, &value)]);
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
