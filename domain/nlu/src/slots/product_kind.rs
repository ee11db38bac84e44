//! What kind of thing is meant: which of a phrase's meanings, which of several things, and things nobody has a word for.

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::slots::out_of_vocabulary;
use crate::span::{Meaning, Role, Span, Term};

/// Takes each phrase for one of the things it may mean.
pub fn choose(state: &mut ParseState<'_>) {
    let things = state.spans.iter().filter(|span| surely_a_thing(span)).count();
    for at in 0..state.spans.len() {
        let Meaning::Terms(terms) = &state.spans[at].meaning else { continue };
        let smells = state.spans.get(at + 1).is_some_and(|next| SCENTS.contains(&next.text.as_str()));
        if let Some(scent) = terms.iter().find(|term| smells && matches!(term.slot, "pattern" | "material")) {
            let term = Term { slot: "material", ..scent.clone() };
            state.spans[at].meaning = Meaning::Terms(vec![term]);
            continue;
        }
        if names_a_shade(&state.spans, at) {
            state.spans[at].role = Role::Used;
            continue;
        }
        if terms.len() < 2 {
            continue;
        }
        let wished = |term: &&Term| state.wished(term.slot, &term.value);
        let best = terms.iter().find(wished).unwrap_or_else(|| best_of(state, at, terms, things)).clone();
        state.spans[at].meaning = Meaning::Terms(vec![best]);
    }
}

/// After these, a flower is what a thing smells of, and so what it contains.
const SCENTS: &[&str] =
    &["scented", "scent", "fragranced", "fragrance", "향", "향의", "향기", "향이", "향으로", "향인"];

/// "Sage green": which green it is, and nothing by itself.
fn names_a_shade(spans: &[Span], at: usize) -> bool {
    let is_color = |span: &Span| matches!(&span.meaning, Meaning::Terms(terms) if terms[0].slot == "color");
    SHADES.contains(&spans[at].text.as_str()) && spans.get(at + 1).is_some_and(|next| next.spaced && is_color(next))
}

#[rustfmt::skip]
const SHADES: &[&str] = &[
    "apple", "brick", "butter", "cherry", "chocolate", "cinnamon", "cornflower", "dove", "fern", "honey", "lavender",
    "leaf", "lemon", "peacock", "rose", "sage", "slate", "steel", "stone", "strawberry", "sunflower", "sunshine",
];

fn surely_a_thing(span: &Span) -> bool {
    matches!(&span.meaning, Meaning::Terms(terms) if terms.iter().all(|term| term.is_thing() && !term.weak))
}

fn best_of<'t>(state: &ParseState<'_>, at: usize, terms: &'t [Term], things: usize) -> &'t Term {
    let spans = &state.spans;
    let of = |slot: &str| terms.iter().find(|term| term.slot == slot);
    let thing = terms.iter().find(|term| term.is_thing());
    let next = spans.get(at + 1);
    let shown_on = next.is_some_and(|next| next.is(Cue::MarkerAfter));
    if let (None, Some(pattern), true) = (thing, of("pattern"), shown_on) {
        return pattern;
    }
    let Some(thing) = thing else { return &terms[0] };
    if let Some(occasion) = of("occasion") {
        let general = next.is_some_and(|next| next.is(Cue::One));
        return if general || !thing.weak { thing } else { occasion };
    }
    if let Some(pattern) = of("pattern") {
        let shown_on = next.is_some_and(|next| next.is(Cue::MarkerAfter) || next.is_thing())
            || at > 0 && spans[at - 1].is(Cue::MarkerBefore)
            || near(spans, at).any(|span| span.is(Cue::MarkerBefore));
        return if shown_on || things > 0 || state.has(Cue::Like) { pattern } else { thing };
    }
    if let Some(material) = of("material") {
        let made_of = things > 0
            || at > 0 && spans[at - 1].text == "in"
            || next.is_some_and(|next| next.is(Cue::One) || next.is_thing());
        let ruled_out = near(spans, at).any(|span| span.is_any(&[Cue::NotBefore, Cue::HateBefore]));
        let taste = [Cue::Like, Cue::HateBefore, Cue::HateAfter, Cue::NotAfter, Cue::Forget]
            .into_iter()
            .any(|cue| state.has(cue));
        return if made_of || ruled_out || taste { material } else { thing };
    }
    thing
}

/// The items before one, back to the beginning of its clause or list.
fn near(spans: &[Span], at: usize) -> impl Iterator<Item = &Span> {
    spans[..at].iter().rev().take(4).take_while(|span| !span.ends_a_clause())
}

/// Decides which things are meant, once it is known what is taken back and what is unwanted.
pub fn settle(state: &mut ParseState<'_>) {
    others(state);
    general(state);
    compounds(state);
    places(state);
    out_of_vocabulary::read(state);
}

/// "A small tearoom": the size of something else. "My nan turns 80": a birthday.
fn others(state: &mut ParseState<'_>) {
    let named = state.names_a_thing();
    for at in 0..state.spans.len() {
        let size = state.spans[at].term().is_some_and(|term| term.slot == "size");
        let of_a_word = state.spans.get(at + 1).is_some_and(|next| next.meaning == Meaning::Word);
        // One per table.
        let each = state.spans[at].is(Cue::Per);
        if let Some(next) = state.spans.get_mut(at + 1).filter(|next| each && !next.korean && next.term().is_some()) {
            next.role = Role::Used;
        }
        if size && named && of_a_word {
            state.spans[at].role = Role::Used;
        }
        if birthday(state, at) {
            state.spans[at].meaning = Meaning::Terms(vec![Term::new("occasion", "birthday")]);
        }
        let turns = matches!(state.spans[at].text.as_str(), "turns" | "turning" | "turned" | "turn");
        if turns && state.number(at + 1).is_some() {
            state.spans[at].meaning = Meaning::Terms(vec![Term::new("occasion", "birthday")]);
        }
    }
}

/// "My dad's 60th", "her fortieth": a birthday, unless it is said what else.
fn birthday(state: &ParseState<'_>, at: usize) -> bool {
    let span = &state.spans[at];
    let ordinal = span.cue(|cue| matches!(cue, Cue::Ordinal(16..=100)).then_some(())).is_some()
        || AGES.contains(&span.text.as_str());
    let whose = at > 0 && (state.spans[at - 1].is(Cue::Mine) || state.spans[at - 1].text.ends_with("'s"));
    let other = state.spans.get(at + 1).is_some_and(|next| next.term().is_some() || next.meaning == Meaning::Word);
    ordinal && whose && !other
}

const AGES: &[&str] = &[
    "sixteenth",
    "eighteenth",
    "thirtieth",
    "fortieth",
    "fiftieth",
    "sixtieth",
    "seventieth",
    "eightieth",
    "ninetieth",
];

/// Parts of the shop count where things in general are asked for, or nothing else is.
fn general(state: &mut ParseState<'_>) {
    let wanted = |span: &Span| span.role == Role::Open && span.term().is_some_and(|term| term.is_thing() && !term.weak);
    let strong = state.spans.iter().any(wanted);
    let wished =
        state.context.request.wishes.iter().any(|wish| wish.wanted && matches!(&*wish.slot, "product" | "category"));
    let mut taken = false;
    for at in 0..state.spans.len() {
        let weak = state.spans[at].term().is_some_and(|term| term.is_thing() && term.weak);
        if !weak {
            continue;
        }
        let generally = state.spans.get(at + 1).is_some_and(|next| next.is(Cue::One));
        let cues = [Cue::Find, Cue::Sell, Cue::Like, Cue::HateBefore, Cue::HateAfter];
        let asked = state.context.is_empty() || cues.into_iter().any(|cue| state.has(cue));
        let alone = !strong && !taken && asked && !wished;
        if generally || alone || is_listed(&state.spans, at) {
            taken = true;
        } else {
            state.spans[at].role = Role::Used;
        }
    }
}

/// "Jars, a rack and labels": whether a product of the catalogue stands in a list.
fn is_listed(spans: &[Span], at: usize) -> bool {
    let product = !spans[at].korean && spans[at].term().is_some_and(|term| term.slot == "product");
    let divides = |span: &Span| span.is(Cue::Join) || span.meaning == Meaning::Comma;
    let before = spans[..at].iter().rposition(|span| !span.is(Cue::Filler));
    let named = before.is_some_and(|before| divides(&spans[before]) && before > 0 && spans[before - 1].is_thing());
    product && named && spans.get(at + 1).is_none_or(|next| divides(next) || next.meaning == Meaning::Stop)
}

/// English names a thing by the last of several nouns: a bicycle bell, a scratching post.
fn compounds(state: &mut ParseState<'_>) {
    for at in (1..state.spans.len()).rev() {
        stand(state, at);
        head(state, at);
        // Of two things side by side, Korean means the second as well: 트리 장식.
        if state.spans[at].korean && state.spans[at].is_thing() && state.spans[at - 1].is_thing() {
            if state.spans[at].role == Role::Open && state.spans[at - 1].role == Role::Open {
                state.spans[at - 1].role = Role::Used;
            }
            continue;
        }
        if state.spans[at].korean || !state.spans[at].is_thing() || !state.spans[at].spaced {
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
            state.use_up(first + 1, at);
            state.spans[first].meaning = Meaning::Terms(vec![Term::new("occasion", occasion)]);
            continue;
        }
        let words: Vec<String> = state.spans[first..=at].iter().map(|span| jangbogo_lexicon::key(&span.text)).collect();
        state.use_up(first, at);
        state.spans[at].meaning = Meaning::Terms(vec![Term::new("product", &words.join(" "))]);
    }
}

/// After a thing, "stand" and the like are nouns: a plate stand. "Lights" are one anywhere.
fn stand(state: &mut ParseState<'_>, at: usize) {
    let head = jangbogo_lexicon::key(&state.spans[at].text);
    let is_verb = state.spans.get(at + 1).is_some_and(|next| matches!(next.text.as_str(), "up" | "out" | "on"));
    let before = &state.spans[at - 1];
    let of_thing = before.is_thing() && before.role == Role::Open && !before.korean;
    let noun = matches!(head.as_str(), "stand" | "case" | "rest") && of_thing || state.spans[at].text == "lights";
    if noun && !is_verb && state.spans[at].is(Cue::Filler) {
        state.spans[at].meaning = Meaning::Terms(vec![Term::new("product", &head)]);
    }
}

/// "Kettle descaler": a noun that nobody knows, at the end of what is said of a thing, is what is meant.
fn head(state: &mut ParseState<'_>, at: usize) {
    let spans = &state.spans;
    let ends = spans.get(at + 1).is_none_or(|next| {
        matches!(next.meaning, Meaning::Stop | Meaning::Comma) || next.is_any(&[Cue::For, Cue::Find, Cue::Join])
    });
    let noun = spans[at].meaning == Meaning::Word && modifies(&spans[at]) && spans[at].spaced;
    let before = &spans[at - 1];
    // Not so in "is the bag waterproof" and "cushion geometric", where it says how a thing is.
    let article = |span: &Span| matches!(span.text.as_str(), "a" | "an" | "some" | "any");
    let starts = spans[..at - 1].iter().rposition(|span| !article(span));
    let asked = starts.map_or(at > 1, |starts| spans[starts].is_any(&[Cue::Find, Cue::Sell, Cue::Join]));
    if ends && noun && asked && before.is_thing() && before.role == Role::Open && !before.korean {
        let term = Term::new("product", &jangbogo_lexicon::key(&spans[at].text));
        state.spans[at].meaning = Meaning::Terms(vec![term]);
    }
}

fn occasion_of(thing: &str) -> Option<&'static str> {
    let (first, _) = thing.split_once(' ')?;
    jangbogo_lexicon::canonical(jangbogo_lexicon::Slot::Occasion, first)
}

pub fn modifies(span: &Span) -> bool {
    let noun = span.meaning == Meaning::Word && !is_an_adjective(&span.text);
    (noun || span.is_thing()) && !span.korean && span.role == Role::Open
}

/// "To decorate".
pub fn is_a_verb(spans: &[Span], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| spans[before].text.as_str());
    spans[at].meaning == Meaning::Word && before.is_some_and(|before| before == "to" || before.ends_with(" to"))
}

/// By its ending; the common ones are fillers anyway.
pub fn is_an_adjective(word: &str) -> bool {
    ["y", "ful", "ish", "ous", "less", "able", "ible", "ive", "est", "ed", "ly", "'s", "ier"]
        .iter()
        .any(|end| word.ends_with(end))
}

/// Where a thing is used, or what it is for, is not what is wanted, if something else is.
fn places(state: &mut ParseState<'_>) {
    let is_place = |at: usize| {
        let spans = &state.spans;
        if spans[at].korean {
            let next = spans[at + 1..].iter().find(|span| !span.is(Cue::Filler));
            return next.is_some_and(|next| next.is(Cue::Place));
        }
        // Words are a compound's first, or adjectives.
        let passes = |span: &Span| {
            span.is_filler() && !matches!(span.text.as_str(), "so" | "then")
                || matches!(span.meaning, Meaning::Word | Meaning::Number(_))
                || span.term().is_some_and(|term| !term.is_thing())
        };
        let before = spans[..at].iter().rev().take(12).find(|span| !passes(span));
        before.is_some_and(|before| before.is(Cue::For) || before.is(Cue::Per) || before.text.starts_with("with"))
    };
    let things: Vec<usize> = (0..state.spans.len()).filter(|&at| state.spans[at].is_thing()).collect();
    let mut places: Vec<usize> = things.iter().copied().filter(|&at| is_place(at)).collect();
    if places.len() == things.len() {
        // "Something to hang on the christmas tree" is not the tree, "something for the kitchen" is of the kitchen.
        places.retain(|&at| !state.spans[at].korean && something_for(state, at));
    }
    for at in places.into_iter().filter(|&at| state.spans[at].role == Role::Open).collect::<Vec<_>>() {
        state.spans[at].role = Role::Used;
        // A long table is a long one of something else.
        for before in (0..at).rev() {
            if state.spans[before].term().is_none_or(Term::is_thing) {
                break;
            }
            state.spans[before].role = Role::Used;
        }
    }
}

/// Whether it says where "something" or "a gift" is to be used.
fn something_for(state: &ParseState<'_>, at: usize) -> bool {
    let product = state.spans[at].term().is_some_and(|term| term.slot == "product");
    let used = |span: &Span| span.is(Cue::For) && !span.text.starts_with("of") && span.text != "in";
    let before = &state.spans[..at];
    let asked =
        before.iter().position(|span| ["something", "anything", "things"].iter().any(|word| span.text.contains(word)));
    product && asked.is_some_and(|asked| before[asked..].iter().any(used))
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
    fn places_parts_and_owners_are_no_things() {
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
