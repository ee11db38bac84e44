//! Context mentions in English messages: objects other than the wanted product, such as the wall it hangs on.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span, Term};

/// Largest distance in spans between a noun and a word that belongs to it.
const MAX_DISTANCE: usize = 6;

/// Consumes context mentions. Runs after the negations, since it reads exclusions.
pub(crate) fn read(state: &mut ParseState<'_>) {
    verbs(state);
    owned(state);
    animals(state);
    makers(state);
    surroundings(state);
    parts(state);
    variants(state);
}

/// "Glass ones that I can paint": nouns that are verbs after a pronoun or another verb.
fn verbs(state: &mut ParseState<'_>) {
    for at in 1..state.spans.len() {
        let verb = MAY_BE_VERBS.contains(&state.spans[at].text.as_str())
            && SUBJECTS.contains(&&*jangbogo_lexicon::key(&state.spans[at - 1].text));
        if verb && state.spans[at].names_kind() {
            state.spans[at].role = Role::Consumed;
        }
    }
}

#[rustfmt::skip]
const MAY_BE_VERBS: &[&str] = &[
    "book", "box", "button", "fan", "frame", "glue", "hammer", "iron", "label", "paint", "peg", "plant", "ring", "stamp",
    "throw", "watch", "whisk",
];

const SUBJECTS: &[&str] = &["to", "i", "we", "you", "they", "can", "cant", "could", "will", "dont", "just"];

/// "A hook for my hammock", "she already owns mugs": an owned product is not a wish if another one is wanted.
fn owned(state: &mut ParseState<'_>) {
    let has = ["has", "have", "had", "got"];
    let mut is_possessive = false;
    let mut owned = std::collections::BTreeSet::new();
    for (at, span) in state.spans.iter().enumerate() {
        if matches!(span.text.as_str(), "my" | "our" | "his" | "her" | "their" | "already" | "owns") {
            is_possessive = true;
        } else if span.names_kind() {
            if is_possessive && span.role == Role::Open {
                owned.insert(at);
            }
            is_possessive = false;
        } else if !is_an_attribute(span) && span.meaning != Meaning::Word && !has.contains(&span.text.as_str()) {
            is_possessive = false;
        }
    }
    let is_wanted = |at: usize| {
        let span = &state.spans[at];
        span.names_kind() && span.role == Role::Open && !owned.contains(&at)
    };
    if (0..state.spans.len()).any(is_wanted) {
        for at in owned {
            state.spans[at].role = Role::Consumed;
        }
    }
}

/// "For my dog", "that squirrels can't open": an owned or acting animal is not a pattern.
fn animals(state: &mut ParseState<'_>) {
    let names_kind = state.names_kind();
    for at in 1..state.spans.len() {
        let pattern = state.spans[at].term().is_some_and(|term| term.slot == "pattern");
        let next = state.spans.get(at + 1);
        let is_motif = next.is_some_and(|next| next.is(Cue::MarkerAfter) || next.names_kind());
        let article = at > 1 && matches!(state.spans[at - 1].text.as_str(), "a" | "an" | "the");
        let before = &state.spans[if article { at - 2 } else { at - 1 }];
        let whose = before.is(Cue::Mine)
            || before.is(Cue::For) && before.text.split(' ').any(|word| matches!(word, "my" | "our"));
        // A feeder for birds; not so "in stripes" or "full of hearts".
        let purpose = names_kind && before.is(Cue::For) && PURPOSES.iter().any(|start| before.text.starts_with(start));
        let acts = matches!(state.spans[at - 1].text.as_str(), "that" | "which" | "the" | "so")
            && next.is_some_and(|next| VERBS.contains(&&*jangbogo_lexicon::key(&next.text)));
        if pattern && !is_motif && (whose || acts || purpose) {
            state.spans[at].role = Role::Consumed;
        }
    }
}

const PURPOSES: &[&str] = &["for", "from", "used for", "above", "behind", "hang", "beside", "next to"];

/// Verbs with an animal or a person as subject.
#[rustfmt::skip]
const VERBS: &[&str] = &[
    "can", "cant", "cannot", "could", "couldnt", "will", "wont", "would", "wouldnt", "doesnt", "dont", "need", "keep",
    "eat", "love", "like", "have", "has", "get", "sleep", "chew", "broke", "knock", "knocked",
];

/// "Storage for lego": a brand as purpose, not as maker.
fn makers(state: &mut ParseState<'_>) {
    if !state.names_kind() {
        return;
    }
    for at in 1..state.spans.len() {
        let brand = state.spans[at].term().is_some_and(|term| term.slot == "brand");
        let before =
            state.spans[..at].iter().rev().take(MAX_DISTANCE).find(|span| !span.is_any(&[Cue::Filler, Cue::Mine]));
        if brand && before.is_some_and(|before| before.is(Cue::For) && before.text.starts_with("for")) {
            state.spans[at].role = Role::Consumed;
        }
    }
}

/// "For my grey walls", "for a small boy", "the old cork ones": qualities of another noun than the wanted product.
fn surroundings(state: &mut ParseState<'_>) {
    for at in 0..state.spans.len() {
        let old = at > 0
            && state.spans[at].text == "old"
            && matches!(state.spans[at - 1].text.as_str(), "the" | "my" | "our");
        let begins = state.spans[at].is(Cue::Mine)
            || old
            || state.spans[at].is(Cue::For) && !matches!(state.spans[at].text.as_str(), "in" | "on" | "at" | "from");
        if !begins || state.spans[at].korean {
            continue;
        }
        let noun = (at + 1..state.spans.len()).take(MAX_DISTANCE).find(|&index| !is_an_attribute(&state.spans[index]));
        let ends = |span: &Span| is_person_or_place(span) || old && (span.is(Cue::One) || span.names_kind());
        let Some(noun) = noun.filter(|&noun| ends(&state.spans[noun])) else { continue };
        let is_compound = state
            .spans
            .get(noun + 1)
            .is_some_and(|next| next.names_kind() || next.meaning == Meaning::Word || next.is(Cue::MarkerAfter));
        if !is_compound {
            state.consume_names(at + 1, noun);
        }
    }
}

/// True for a span that may stand between an article and its noun.
fn is_an_attribute(span: &Span) -> bool {
    let quality = |term: &Term| matches!(term.slot, "color" | "size" | "material" | "style");
    span.term().is_some_and(quality) || span.is(Cue::Filler) && !is_person_or_place(span)
}

fn is_person_or_place(span: &Span) -> bool {
    span.meaning == Meaning::Word
        || span.is(Cue::Filler) && PERSONS_AND_PLACES.contains(&&*jangbogo_lexicon::key(&span.text))
}

#[rustfmt::skip]
const PERSONS_AND_PLACES: &[&str] = &[
    "wall", "room", "bedroom", "hall", "hallway", "lounge", "flat", "house", "home", "door", "floor", "corner", "window",
    "space", "nursery", "office", "shop", "school", "boy", "girl", "child", "kid", "baby", "toddler", "daughter", "son",
    "brother", "sister", "niece", "nephew", "family", "man", "lady", "woman", "friend", "hand", "skin", "hair",
];

/// "Toys, nothing with batteries": an excluded part is not an excluded product kind.
fn parts(state: &mut ParseState<'_>) {
    if !state.spans.iter().any(|span| span.names_kind() && span.role == Role::Open) {
        return;
    }
    for at in 1..state.spans.len() {
        let span = &state.spans[at];
        if span.korean || !span.names_kind() || span.role != Role::Excluded {
            continue;
        }
        let adjective = |span: &&Span| span.is(Cue::Filler) || span.meaning == Meaning::Word;
        let before = state.spans[..at].iter().rev().take(MAX_DISTANCE).find(|span| !adjective(span));
        if before.is_some_and(|before| before.text.ends_with("with") || before.text == "without") {
            state.spans[at].role = Role::Consumed;
        }
    }
}

/// "Lights, the battery ones": a variant of the product kind named before.
fn variants(state: &mut ParseState<'_>) {
    let first = state.spans.iter().position(|span| span.names_kind() && span.role == Role::Open);
    for at in first.map_or(0, |first| first + 1)..state.spans.len() {
        let ones = state.spans.get(at + 1).is_some_and(|next| matches!(next.text.as_str(), "one" | "ones"));
        let product = state.spans[at].term().is_some_and(|term| term.slot == "product" && !term.value.contains(' '));
        if first.is_some() && ones && product {
            state.spans[at].role = Role::Consumed;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn context_mentions_are_not_wishes() {
        check(
            &fresh(),
            &[
                ("a bell for my dog", "product=bell"),
                ("a bird feeder that squirrels can't open", "product=bird feeder"),
                ("the cat keeps me up, a lamp please", "product=lamp"),
                ("a glass bottle for flowers", "material=glass; product=bottle"),
                ("a lantern to hang from a tree", "product=lantern"),
                ("a mug with cats", "product=mug; pattern=cat"),
                ("a storage box for lego", "product=storage box"),
                ("a mirror for my grey wall", "product=mirror"),
                ("a mug for a small boy", "product=mug"),
                ("a lamp for a white console", "product=lamp"),
                ("a white lamp for the wall", "color=white; product=lamp"),
                ("a doll, nothing with batteries", "product=doll"),
                ("a lantern, but no candles", "product=lantern; -category=candles"),
                ("glass baubles I can paint", "material=glass; product=bauble"),
                ("a hook for hanging up my hammock", "product=hook"),
                ("a candle holder, she already has a lamp", "product=candle holder"),
                ("new mugs because the old glass ones broke", "product=mug"),
                ("string lights, battery ones", "product=string light"),
            ],
        );
    }
}
