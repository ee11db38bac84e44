//! Out-of-vocabulary product kinds and patterns, and patterns that are product kinds.

use std::sync::Arc;

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::product_kind::{is_a_verb, is_an_adjective, modifies};
use crate::span::{Meaning, Role, Span, Term};

/// Assigns a slot to out-of-vocabulary words by their position.
pub(crate) fn read(state: &mut ParseState<'_>) {
    listed(state);
    motifs(state);
    shapes(state);
    if !state.names_kind() {
        unknown_kind(state);
    }
}

/// An out-of-vocabulary product kind: the first nouns of a request.
fn unknown_kind(state: &mut ParseState<'_>) {
    let chats = [Cue::Injection, Cue::Service, Cue::Abuse, Cue::Chat, Cue::Greet, Cue::Thanks];
    let asks_for_product = state.has(Cue::Find) || state.has(Cue::Sell);
    let fragment = state.context.is_empty() && !state.has(Cue::Like) && !state.has(Cue::Habit);
    let chats = chats.into_iter().any(|cue| state.has(cue));
    if !asks_for_product && (chats || !fragment) || state.has(Cue::Forget) {
        return;
    }
    if !state.context.is_empty() && !state.has(Cue::Sell) {
        return;
    }
    // The product kind follows the asking cue, if any word does.
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
        let is_context = before.is_some_and(|span| {
            span.is_any(&[Cue::For, Cue::Mine, Cue::Quoted]) || PURPOSE_PHRASES.contains(&span.text.as_str())
        });
        let words: Vec<String> =
            state.spans[at..at + length].iter().map(|span| jangbogo_lexicon::key(&span.text)).collect();
        let last = words.len() - 1;
        let verb = at > 0 && is_a_verb(&state.spans, at - 1);
        if !is_context && !verb && !is_a_verb(&state.spans, at) && !is_an_adjective(&words[last]) && length <= 3 {
            let value: Arc<str> = words.join(" ").into();
            state.consume(at, at + last);
            state.spans[at + last].meaning = Meaning::Terms(vec![Term { slot: "product", value, weak: false }]);
            return;
        }
        at += length;
    }
}

/// Phrases before the recipient or purpose of a product.
#[rustfmt::skip]
const PURPOSE_PHRASES: &[&str] = &[
    "gift for", "gifts for", "present for", "presents for", "something for", "anything for", "something to", "anything to",
];

/// "A wooden star": hearts and stars are product kinds if no other kind is named.
fn shapes(state: &mut ParseState<'_>) {
    let is_indefinite = |span: &Span| span.is(Cue::One) && !matches!(span.text.as_str(), "one" | "ones");
    let asks_otherwise = state.spans.iter().any(is_indefinite) || state.has(Cue::Like) || !state.context.is_empty();
    if asks_otherwise || state.names_kind() {
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

/// "A pouffe or a stool": an out-of-vocabulary word joined to a known product kind.
fn listed(state: &mut ParseState<'_>) {
    let spans = &state.spans;
    let is_wanted = |span: &Span| span.names_kind() && span.role == Role::Open;
    let mut kinds = Vec::new();
    for join in (1..spans.len()).filter(|&at| spans[at].is(Cue::Join) && !spans[at].korean) {
        let after = spans[join + 1..].iter().position(|span| !span.is(Cue::Filler)).map(|next| join + 1 + next);
        let Some(after) = after else { continue };
        let ends = spans.get(after + 1).is_none_or(|next| {
            matches!(next.meaning, Meaning::Stop | Meaning::Comma) || next.is_any(&[Cue::For, Cue::Find])
        });
        if is_wanted(&spans[join - 1]) && modifies(&spans[after]) && !spans[after].names_kind() && ends {
            kinds.push(after);
        }
        let begins = join < 2 || spans[join - 2].is_any(&[Cue::Filler, Cue::Find, Cue::Sell]);
        if is_wanted(&spans[after]) && modifies(&spans[join - 1]) && !spans[join - 1].names_kind() && begins {
            kinds.push(join - 1);
        }
    }
    for at in kinds {
        let value = jangbogo_lexicon::key(&state.spans[at].text);
        state.spans[at].meaning = Meaning::Terms(vec![Term::new("product", &value)]);
    }
}

/// An out-of-vocabulary pattern: the word before "print" or "shaped".
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

/// Words after a pattern.
const MARKERS: &[&str] = &["print", "shaped", "themed", "motif", "pattern", "patterned", "shape", "design"];

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn words_are_kinds_and_patterns_by_their_position() {
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
