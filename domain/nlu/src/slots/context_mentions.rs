//! What an English message says of other things than the wanted one: the wall it hangs on, the animal it is for.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span, Term};

/// How many words a noun and what belongs to it may be apart.
const NEAR: usize = 6;

/// Uses up what is said of them. To be called once it is known what is unwanted.
pub fn read(state: &mut ParseState<'_>) {
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
        if verb && state.spans[at].is_thing() {
            state.spans[at].role = Role::Used;
        }
    }
}

#[rustfmt::skip]
const MAY_BE_VERBS: &[&str] = &[
    "book", "box", "button", "fan", "frame", "glue", "hammer", "iron", "label", "paint", "peg", "plant", "ring", "stamp",
    "throw", "watch", "whisk",
];

const SUBJECTS: &[&str] = &["to", "i", "we", "you", "they", "can", "cant", "could", "will", "dont", "just"];

/// "A hook for my hammock", "she already owns mugs": what somebody has is not what is wanted, if something else is.
fn owned(state: &mut ParseState<'_>) {
    let has = ["has", "have", "had", "got"];
    let mut own = false;
    let mut owned = std::collections::BTreeSet::new();
    for (at, span) in state.spans.iter().enumerate() {
        if matches!(span.text.as_str(), "my" | "our" | "his" | "her" | "their" | "already" | "owns") {
            own = true;
        } else if span.is_thing() {
            if own && span.role == Role::Open {
                owned.insert(at);
            }
            own = false;
        } else if !is_an_attribute(span) && span.meaning != Meaning::Word && !has.contains(&span.text.as_str()) {
            own = false;
        }
    }
    let wanted = |at: usize| {
        let span = &state.spans[at];
        span.is_thing() && span.role == Role::Open && !owned.contains(&at)
    };
    if (0..state.spans.len()).any(wanted) {
        for at in owned {
            state.spans[at].role = Role::Used;
        }
    }
}

/// "For my dog", "that squirrels can't open": animals that a shopper has, and that do something, are no patterns.
fn animals(state: &mut ParseState<'_>) {
    let named = state.names_a_thing();
    for at in 1..state.spans.len() {
        let pattern = state.spans[at].term().is_some_and(|term| term.slot == "pattern");
        let next = state.spans.get(at + 1);
        let shown = next.is_some_and(|next| next.is(Cue::MarkerAfter) || next.is_thing());
        let article = at > 1 && matches!(state.spans[at - 1].text.as_str(), "a" | "an" | "the");
        let before = &state.spans[if article { at - 2 } else { at - 1 }];
        let whose = before.is(Cue::Mine)
            || before.is(Cue::For) && before.text.split(' ').any(|word| matches!(word, "my" | "our"));
        // A feeder for birds; not so "in stripes" or "full of hearts".
        let purpose = named && before.is(Cue::For) && PURPOSES.iter().any(|start| before.text.starts_with(start));
        let acts = matches!(state.spans[at - 1].text.as_str(), "that" | "which" | "the" | "so")
            && next.is_some_and(|next| VERBS.contains(&&*jangbogo_lexicon::key(&next.text)));
        if pattern && !shown && (whose || acts || purpose) {
            state.spans[at].role = Role::Used;
        }
    }
}

const PURPOSES: &[&str] = &["for", "from", "used for", "above", "behind", "hang", "beside", "next to"];

/// What animals and people do.
#[rustfmt::skip]
const VERBS: &[&str] = &[
    "can", "cant", "cannot", "could", "couldnt", "will", "wont", "would", "wouldnt", "doesnt", "dont", "need", "keep",
    "eat", "love", "like", "have", "has", "get", "sleep", "chew", "broke", "knock", "knocked",
];

/// "Storage for lego": what a thing is for, rather than who made it.
fn makers(state: &mut ParseState<'_>) {
    if !state.names_a_thing() {
        return;
    }
    for at in 1..state.spans.len() {
        let brand = state.spans[at].term().is_some_and(|term| term.slot == "brand");
        let before = state.spans[..at].iter().rev().take(NEAR).find(|span| !span.is_any(&[Cue::Filler, Cue::Mine]));
        if brand && before.is_some_and(|before| before.is(Cue::For) && before.text.starts_with("for")) {
            state.spans[at].role = Role::Used;
        }
    }
}

/// "For my grey walls", "for a small boy", "the old cork ones": the qualities are not the wanted thing's.
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
        let noun = (at + 1..state.spans.len()).take(NEAR).find(|&index| !is_an_attribute(&state.spans[index]));
        let ends = |span: &Span| is_somebody_or_a_place(span) || old && (span.is(Cue::One) || span.is_thing());
        let Some(noun) = noun.filter(|&noun| ends(&state.spans[noun])) else { continue };
        let goes_on = state
            .spans
            .get(noun + 1)
            .is_some_and(|next| next.is_thing() || next.meaning == Meaning::Word || next.is(Cue::MarkerAfter));
        if !goes_on {
            for span in state.spans[at + 1..noun].iter_mut().filter(|span| span.term().is_some()) {
                span.role = Role::Used;
            }
        }
    }
}

/// Whether it may stand between an article and its noun.
fn is_an_attribute(span: &Span) -> bool {
    let quality = |term: &Term| matches!(term.slot, "color" | "size" | "material" | "style");
    span.term().is_some_and(quality) || span.is(Cue::Filler) && !is_somebody_or_a_place(span)
}

fn is_somebody_or_a_place(span: &Span) -> bool {
    span.meaning == Meaning::Word
        || span.is(Cue::Filler) && SOMEBODY_OR_A_PLACE.contains(&&*jangbogo_lexicon::key(&span.text))
}

#[rustfmt::skip]
const SOMEBODY_OR_A_PLACE: &[&str] = &[
    "wall", "room", "bedroom", "hall", "hallway", "lounge", "flat", "house", "home", "door", "floor", "corner", "window",
    "space", "nursery", "office", "shop", "school", "boy", "girl", "child", "kid", "baby", "toddler", "daughter", "son",
    "brother", "sister", "niece", "nephew", "family", "man", "lady", "woman", "friend", "hand", "skin", "hair",
];

/// "Toys, nothing with batteries": a part that is ruled out is no kind of thing that is.
fn parts(state: &mut ParseState<'_>) {
    if !state.spans.iter().any(|span| span.is_thing() && span.role == Role::Open) {
        return;
    }
    for at in 1..state.spans.len() {
        let span = &state.spans[at];
        if span.korean || !span.is_thing() || span.role != Role::Excluded {
            continue;
        }
        let adjective = |span: &&Span| span.is(Cue::Filler) || span.meaning == Meaning::Word;
        let before = state.spans[..at].iter().rev().take(NEAR).find(|span| !adjective(span));
        if before.is_some_and(|before| before.text.ends_with("with") || before.text == "without") {
            state.spans[at].role = Role::Used;
        }
    }
}

/// "Lights, the battery ones": which of the things named before.
fn variants(state: &mut ParseState<'_>) {
    let first = state.spans.iter().position(|span| span.is_thing() && span.role == Role::Open);
    for at in first.map_or(0, |first| first + 1)..state.spans.len() {
        let ones = state.spans.get(at + 1).is_some_and(|next| matches!(next.text.as_str(), "one" | "ones"));
        let product = state.spans[at].term().is_some_and(|term| term.slot == "product" && !term.value.contains(' '));
        if first.is_some() && ones && product {
            state.spans[at].role = Role::Used;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn what_is_said_of_other_things_is_no_wish() {
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
