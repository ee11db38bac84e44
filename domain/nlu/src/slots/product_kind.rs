//! Product kinds: selects one of several meanings of a phrase and the kinds that are meant, and joins compounds.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::out_of_vocabulary;
use crate::span::{Meaning, Role, Span, Term};

/// Selects one meaning of each ambiguous phrase.
pub(crate) fn disambiguate(state: &mut ParseState<'_>) {
    let kinds = state.spans.iter().filter(|span| is_unambiguous_kind(span)).count();
    for at in 0..state.spans.len() {
        let Meaning::Terms(terms) = &state.spans[at].meaning else { continue };
        let is_scent = state.spans.get(at + 1).is_some_and(|next| SCENTS.contains(&next.text.as_str()));
        if let Some(scent) = terms.iter().find(|term| is_scent && matches!(term.slot, "pattern" | "material")) {
            let term = Term { slot: "material", ..scent.clone() };
            state.spans[at].meaning = Meaning::Terms(vec![term]);
            continue;
        }
        if names_a_shade(&state.spans, at) {
            state.spans[at].role = Role::Consumed;
            continue;
        }
        if terms.len() < 2 {
            continue;
        }
        let is_wished = |term: &&Term| state.is_wished(term.slot, &term.value);
        let best = terms.iter().find(is_wished).unwrap_or_else(|| most_likely(state, at, terms, kinds)).clone();
        state.spans[at].meaning = Meaning::Terms(vec![best]);
    }
}

/// After these, a plant is a scent, which counts as a material.
const SCENTS: &[&str] =
    &["scented", "scent", "fragranced", "fragrance", "향", "향의", "향기", "향이", "향으로", "향인"];

/// True for "sage" in "sage green", which is not a name by itself.
fn names_a_shade(spans: &[Span], at: usize) -> bool {
    let is_color = |span: &Span| matches!(&span.meaning, Meaning::Terms(terms) if terms[0].slot == "color");
    SHADES.contains(&spans[at].text.as_str()) && spans.get(at + 1).is_some_and(|next| next.spaced && is_color(next))
}

#[rustfmt::skip]
const SHADES: &[&str] = &[
    "apple", "brick", "butter", "cherry", "chocolate", "cinnamon", "cornflower", "dove", "fern", "honey", "lavender",
    "leaf", "lemon", "peacock", "rose", "sage", "slate", "steel", "stone", "strawberry", "sunflower", "sunshine",
];

fn is_unambiguous_kind(span: &Span) -> bool {
    matches!(&span.meaning, Meaning::Terms(terms) if terms.iter().all(|term| term.names_kind() && !term.weak))
}

fn most_likely<'t>(state: &ParseState<'_>, at: usize, terms: &'t [Term], kinds: usize) -> &'t Term {
    let spans = &state.spans;
    let term_of = |slot: &str| terms.iter().find(|term| term.slot == slot);
    let kind = terms.iter().find(|term| term.names_kind());
    let next = spans.get(at + 1);
    let is_motif = next.is_some_and(|next| next.is(Cue::MarkerAfter));
    if let (None, Some(pattern), true) = (kind, term_of("pattern"), is_motif) {
        return pattern;
    }
    let Some(kind) = kind else { return &terms[0] };
    if let Some(occasion) = term_of("occasion") {
        let general = next.is_some_and(|next| next.is(Cue::One));
        return if general || !kind.weak { kind } else { occasion };
    }
    if let Some(pattern) = term_of("pattern") {
        let is_motif = next.is_some_and(|next| next.is(Cue::MarkerAfter) || next.names_kind())
            || at > 0 && spans[at - 1].is(Cue::MarkerBefore)
            || near(spans, at).any(|span| span.is(Cue::MarkerBefore));
        return if is_motif || kinds > 0 || state.has(Cue::Like) { pattern } else { kind };
    }
    if let Some(material) = term_of("material") {
        let made_of = kinds > 0
            || at > 0 && spans[at - 1].text == "in"
            || next.is_some_and(|next| next.is(Cue::One) || next.names_kind());
        let negated = near(spans, at).any(|span| span.is_any(&[Cue::NotBefore, Cue::HateBefore]));
        let taste = [Cue::Like, Cue::HateBefore, Cue::HateAfter, Cue::NotAfter, Cue::Forget]
            .into_iter()
            .any(|cue| state.has(cue));
        return if made_of || negated || taste { material } else { kind };
    }
    kind
}

/// Up to four spans before one, back to the beginning of its clause.
fn near(spans: &[Span], at: usize) -> impl Iterator<Item = &Span> {
    spans[..at].iter().rev().take(4).take_while(|span| !span.ends_a_clause())
}

/// Selects the product kinds that are meant. Runs after retractions and negations.
pub(crate) fn resolve(state: &mut ParseState<'_>) {
    sizes_and_birthdays(state);
    weak_kinds(state);
    compounds(state);
    locations(state);
    out_of_vocabulary::read(state);
}

/// "A small tearoom" names the size of another noun; "my nan turns 80" names a birthday.
fn sizes_and_birthdays(state: &mut ParseState<'_>) {
    let names_kind = state.names_kind();
    for at in 0..state.spans.len() {
        let size = state.spans[at].term().is_some_and(|term| term.slot == "size");
        let precedes_word = state.spans.get(at + 1).is_some_and(|next| next.meaning == Meaning::Word);
        // One per table.
        let each = state.spans[at].is(Cue::Per);
        if let Some(next) = state.spans.get_mut(at + 1).filter(|next| each && !next.korean && next.term().is_some()) {
            next.role = Role::Consumed;
        }
        if size && names_kind && precedes_word {
            state.spans[at].role = Role::Consumed;
        }
        let turns = matches!(state.spans[at].text.as_str(), "turns" | "turning" | "turned" | "turn");
        if is_birthday(state, at) || turns && state.number(at + 1).is_some() {
            state.spans[at].meaning = Meaning::Terms(vec![Term::new("occasion", "birthday")]);
        }
    }
}

/// True for "my dad's 60th" and "her fortieth", unless a noun follows.
fn is_birthday(state: &ParseState<'_>, at: usize) -> bool {
    let span = &state.spans[at];
    let ordinal = span.has_cue(|cue| matches!(cue, Cue::Ordinal(16..=100))) || AGES.contains(&span.text.as_str());
    let whose = at > 0 && (state.spans[at - 1].is(Cue::Mine) || state.spans[at - 1].text.ends_with("'s"));
    let other = state.spans.get(at + 1).is_some_and(|next| next.term().is_some() || next.meaning == Meaning::Word);
    ordinal && whose && !other
}

#[rustfmt::skip]
const AGES: &[&str] = &[
    "sixteenth", "eighteenth", "thirtieth", "fortieth", "fiftieth", "sixtieth", "seventieth", "eightieth", "ninetieth",
];

/// Weak kinds (areas of the shop) count only for "… things", alone, or in a list.
fn weak_kinds(state: &mut ParseState<'_>) {
    let is_strong =
        |span: &Span| span.role == Role::Open && span.term().is_some_and(|term| term.names_kind() && !term.weak);
    let strong = state.spans.iter().any(is_strong);
    let is_wished = state.context.request.wishes.iter().any(|wish| wish.wanted && wish.names_kind());
    let mut taken = false;
    for at in 0..state.spans.len() {
        let weak = state.spans[at].term().is_some_and(|term| term.names_kind() && term.weak);
        if !weak {
            continue;
        }
        let generally = state.spans.get(at + 1).is_some_and(|next| next.is(Cue::One));
        let cues = [Cue::Find, Cue::Sell, Cue::Like, Cue::HateBefore, Cue::HateAfter];
        let is_requested = state.context.is_empty() || cues.into_iter().any(|cue| state.has(cue));
        let alone = !strong && !taken && is_requested && !is_wished;
        if generally || alone || is_listed(&state.spans, at) {
            taken = true;
        } else {
            state.spans[at].role = Role::Consumed;
        }
    }
}

/// True for a product of the catalogue in a list: "jars, a rack and labels".
fn is_listed(spans: &[Span], at: usize) -> bool {
    let product = !spans[at].korean && spans[at].term().is_some_and(|term| term.slot == "product");
    let divides = |span: &Span| span.is(Cue::Join) || span.meaning == Meaning::Comma;
    let before = spans[..at].iter().rposition(|span| !span.is(Cue::Filler));
    let follows_kind =
        before.is_some_and(|before| divides(&spans[before]) && before > 0 && spans[before - 1].names_kind());
    product && follows_kind && spans.get(at + 1).is_none_or(|next| divides(next) || next.meaning == Meaning::Stop)
}

/// The last of several English nouns is the head of the compound: a bicycle bell, a scratching post.
fn compounds(state: &mut ParseState<'_>) {
    for at in (1..state.spans.len()).rev() {
        noun_after_kind(state, at);
        unknown_head(state, at);
        // Of two Korean kinds side by side the second is meant: 트리 장식.
        if state.spans[at].korean && state.spans[at].names_kind() && state.spans[at - 1].names_kind() {
            if state.spans[at].role == Role::Open && state.spans[at - 1].role == Role::Open {
                state.spans[at - 1].role = Role::Consumed;
            }
            continue;
        }
        if state.spans[at].korean || !state.spans[at].names_kind() || !state.spans[at].spaced {
            continue;
        }
        let mut first = at;
        while first > 0 && at - first < 2 && modifies(&state.spans[first - 1]) && !is_a_verb(&state.spans, first - 1) {
            first -= 1;
        }
        if first == at {
            continue;
        }
        // A christmas tree decoration is a decoration, and for christmas.
        if let Some(occasion) = state.spans[first].term().and_then(|term| occasion_of(&term.value)) {
            state.consume(first + 1, at);
            state.spans[first].meaning = Meaning::Terms(vec![Term::new("occasion", occasion)]);
            continue;
        }
        let words: Vec<String> = state.spans[first..=at].iter().map(|span| jangbogo_lexicon::key(&span.text)).collect();
        state.consume(first, at);
        state.spans[at].meaning = Meaning::Terms(vec![Term::new("product", &words.join(" "))]);
    }
}

/// "Stand", "case" and "rest" are nouns after a product kind (a plate stand), "lights" is one anywhere.
fn noun_after_kind(state: &mut ParseState<'_>, at: usize) {
    let head = jangbogo_lexicon::key(&state.spans[at].text);
    let is_verb = state.spans.get(at + 1).is_some_and(|next| matches!(next.text.as_str(), "up" | "out" | "on"));
    let before = &state.spans[at - 1];
    let follows_kind = before.names_kind() && before.role == Role::Open && !before.korean;
    let noun = matches!(head.as_str(), "stand" | "case" | "rest") && follows_kind || state.spans[at].text == "lights";
    if noun && !is_verb && state.spans[at].is(Cue::Filler) {
        state.spans[at].meaning = Meaning::Terms(vec![Term::new("product", &head)]);
    }
}

/// "Kettle descaler": an out-of-vocabulary noun right after a product kind is the head of the compound.
fn unknown_head(state: &mut ParseState<'_>, at: usize) {
    let spans = &state.spans;
    let ends = spans.get(at + 1).is_none_or(|next| {
        matches!(next.meaning, Meaning::Stop | Meaning::Comma) || next.is_any(&[Cue::For, Cue::Find, Cue::Join])
    });
    let noun = spans[at].meaning == Meaning::Word && modifies(&spans[at]) && spans[at].spaced;
    let before = &spans[at - 1];
    // Not in "is the bag waterproof" and "cushion geometric", where the word describes the product.
    let article = |span: &Span| matches!(span.text.as_str(), "a" | "an" | "some" | "any");
    let starts = spans[..at - 1].iter().rposition(|span| !article(span));
    let is_requested = starts.map_or(at > 1, |starts| spans[starts].is_any(&[Cue::Find, Cue::Sell, Cue::Join]));
    if ends && noun && is_requested && before.names_kind() && before.role == Role::Open && !before.korean {
        let term = Term::new("product", &jangbogo_lexicon::key(&spans[at].text));
        state.spans[at].meaning = Meaning::Terms(vec![term]);
    }
}

fn occasion_of(kind: &str) -> Option<&'static str> {
    let (first, _) = kind.split_once(' ')?;
    jangbogo_lexicon::canonical(jangbogo_lexicon::Slot::Occasion, first)
}

pub(crate) fn modifies(span: &Span) -> bool {
    let noun = span.meaning == Meaning::Word && !is_an_adjective(&span.text);
    (noun || span.names_kind()) && !span.korean && span.role == Role::Open
}

/// True after "to": "to decorate".
pub(crate) fn is_a_verb(spans: &[Span], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| spans[before].text.as_str());
    spans[at].meaning == Meaning::Word && before.is_some_and(|before| before == "to" || before.ends_with(" to"))
}

/// Judges by the ending; common adjectives are fillers.
pub(crate) fn is_an_adjective(word: &str) -> bool {
    ["y", "ful", "ish", "ous", "less", "able", "ible", "ive", "est", "ed", "ly", "'s", "ier"]
        .iter()
        .any(|end| word.ends_with(end))
}

/// A place or purpose of use is not a wish if another product kind is named.
fn locations(state: &mut ParseState<'_>) {
    let is_location = |at: usize| {
        let spans = &state.spans;
        if spans[at].korean {
            let next = spans[at + 1..].iter().find(|span| !span.is(Cue::Filler));
            return next.is_some_and(|next| next.is(Cue::Place));
        }
        // Out-of-vocabulary words are parts of compounds, or adjectives.
        let passes = |span: &Span| {
            span.is_filler() && !matches!(span.text.as_str(), "so" | "then")
                || matches!(span.meaning, Meaning::Word | Meaning::Number(_))
                || span.term().is_some_and(|term| !term.names_kind())
        };
        let before = spans[..at].iter().rev().take(12).find(|span| !passes(span));
        before.is_some_and(|before| before.is(Cue::For) || before.is(Cue::Per) || before.text.starts_with("with"))
    };
    let kinds: Vec<usize> = (0..state.spans.len()).filter(|&at| state.spans[at].names_kind()).collect();
    let mut locations: Vec<usize> = kinds.iter().copied().filter(|&at| is_location(at)).collect();
    if locations.len() == kinds.len() {
        // "Something to hang on the christmas tree" does not ask for the tree; "something for the kitchen" names a
        // category.
        locations.retain(|&at| !state.spans[at].korean && something_for(state, at));
    }
    for at in locations.into_iter().filter(|&at| state.spans[at].role == Role::Open).collect::<Vec<_>>() {
        state.spans[at].role = Role::Consumed;
        // Qualities of the location are not wishes: a long table.
        for before in (0..at).rev() {
            if state.spans[before].term().is_none_or(Term::names_kind) {
                break;
            }
            state.spans[before].role = Role::Consumed;
        }
    }
}

/// True for the place of use of "something" or "anything".
fn something_for(state: &ParseState<'_>, at: usize) -> bool {
    let product = state.spans[at].term().is_some_and(|term| term.slot == "product");
    let is_purpose = |span: &Span| span.is(Cue::For) && !span.text.starts_with("of") && span.text != "in";
    let before = &state.spans[..at];
    let indefinite =
        before.iter().position(|span| ["something", "anything", "things"].iter().any(|word| span.text.contains(word)));
    product && indefinite.is_some_and(|indefinite| before[indefinite..].iter().any(is_purpose))
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn one_of_several_meanings_is_chosen() {
        check(
            &fresh(),
            &[
                ("a wine glass", "product=wine glass"),
                ("a glass", "product=glass"),
                ("glass lamp", "material=glass; product=lamp"),
                ("I hate glass", "-material=glass"),
                ("party things", "category=party"),
                ("a lamp for a party", "product=lamp; occasion=party"),
                ("silver necklace", "color=silver; product=necklace"),
                ("은으로 된 목걸이", "material=silver; product=necklace"),
            ],
        );
    }

    #[test]
    fn places_parts_and_owners_are_not_wishes() {
        check(
            &fresh(),
            &[
                ("a lamp for my desk", "product=lamp"),
                ("책상에 놓을 램프", "product=lamp"),
                ("a lamp for my rickety desk", "product=lamp"),
                ("a small tearoom needs teaspoons", "product=teaspoon"),
                ("bicycle bell", "product=bicycle bell"),
                ("something to put on my desk", ""),
                ("do you have kettle descaler", "product=kettle descaler"),
                ("star lights", "pattern=star; product=light"),
                ("a bath plug", "product=bath plug"),
                ("a picnic on sunday, so plates", "occasion=picnic; product=plate"),
                ("photo frame stand", "product=photo frame stand"),
                ("sage green cushion", "color=green; product=cushion"),
                ("a teacup for my dad's 60th", "product=teacup; occasion=birthday"),
                ("my nan turns 80, a teacup", "occasion=birthday; product=teacup"),
            ],
        );
    }
}
