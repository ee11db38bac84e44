//! What kind of thing is meant: which of a phrase's meanings, which of several things, and things nobody has a word for.

use std::sync::Arc;

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role, Term};
use crate::reading::Reading;

/// Takes each phrase for one of the things it may mean.
pub(crate) fn choose(reading: &mut Reading<'_>) {
    let things = reading.items.iter().filter(|item| surely_a_thing(item)).count();
    for at in 0..reading.items.len() {
        let Meaning::Terms(terms) = &reading.items[at].meaning else { continue };
        let smells = reading.items.get(at + 1).is_some_and(|next| SCENTS.contains(&next.text.as_str()));
        if let Some(scent) = terms.iter().find(|term| smells && matches!(term.slot, "pattern" | "material")) {
            let term = Term { slot: "material", ..scent.clone() };
            reading.items[at].meaning = Meaning::Terms(vec![term]);
            continue;
        }
        if terms.len() < 2 {
            continue;
        }
        let wished = |term: &&Term| reading.wished(term.slot, &term.value);
        let best = terms.iter().find(wished).unwrap_or_else(|| best_of(reading, at, terms, things)).clone();
        reading.items[at].meaning = Meaning::Terms(vec![best]);
    }
}

/// After these, a flower is what a thing smells of, and so what it contains.
const SCENTS: &[&str] =
    &["scented", "scent", "fragranced", "fragrance", "향", "향의", "향기", "향이", "향으로", "향인"];

fn surely_a_thing(item: &Item) -> bool {
    matches!(&item.meaning, Meaning::Terms(terms) if terms.iter().all(|term| term.is_thing() && !term.weak))
}

fn best_of<'t>(reading: &Reading<'_>, at: usize, terms: &'t [Term], things: usize) -> &'t Term {
    let items = &reading.items;
    let of = |slot: &str| terms.iter().find(|term| term.slot == slot);
    let thing = terms.iter().find(|term| term.is_thing());
    let next = items.get(at + 1);
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
            || at > 0 && items[at - 1].is(Cue::MarkerBefore)
            || near(items, at).any(|item| item.is(Cue::MarkerBefore));
        return if shown_on || things > 0 || reading.has(Cue::Like) { pattern } else { thing };
    }
    if let Some(material) = of("material") {
        let made_of = things > 0
            || at > 0 && items[at - 1].text == "in"
            || next.is_some_and(|next| next.is(Cue::One) || next.is_thing());
        let ruled_out = near(items, at).any(|item| item.is_any(&[Cue::NotBefore, Cue::HateBefore]));
        let taste = [Cue::Like, Cue::HateBefore, Cue::HateAfter, Cue::NotAfter, Cue::Forget]
            .into_iter()
            .any(|cue| reading.has(cue));
        return if made_of || ruled_out || taste { material } else { thing };
    }
    thing
}

/// The items before one, back to the beginning of its clause or list.
fn near(items: &[Item], at: usize) -> impl Iterator<Item = &Item> {
    items[..at].iter().rev().take(4).take_while(|item| !item.ends_a_clause())
}

/// Decides which things are meant, once it is known what is taken back and what is unwanted.
pub(crate) fn settle(reading: &mut Reading<'_>) {
    somebodys(reading);
    others(reading);
    general(reading);
    compounds(reading);
    places(reading);
    motifs(reading);
    if !reading.names_a_thing() {
        unknown(reading);
    }
}

/// "For my dog": animals that a shopper has are no patterns.
fn somebodys(reading: &mut Reading<'_>) {
    for at in 1..reading.items.len() {
        let pattern = reading.items[at].term().is_some_and(|term| term.slot == "pattern");
        let next = reading.items.get(at + 1);
        let shown = next.is_some_and(|next| next.is(Cue::MarkerAfter) || next.is_thing());
        let before = &reading.items[at - 1];
        let whose = before.is(Cue::Mine)
            || before.is(Cue::For) && before.text.split(' ').any(|word| matches!(word, "my" | "our"));
        if pattern && whose && !shown {
            reading.items[at].role = Role::Used;
        }
    }
}

/// "A small tearoom": the size of something else. "My nan turns 80": a birthday.
fn others(reading: &mut Reading<'_>) {
    let named = reading.names_a_thing();
    for at in 0..reading.items.len() {
        let size = reading.items[at].term().is_some_and(|term| term.slot == "size");
        let of_a_word = reading.items.get(at + 1).is_some_and(|next| next.meaning == Meaning::Word);
        // One per table.
        let each = reading.items[at].is(Cue::Per);
        if let Some(next) = reading.items.get_mut(at + 1).filter(|next| each && !next.korean && next.term().is_some()) {
            next.role = Role::Used;
        }
        if size && named && of_a_word {
            reading.items[at].role = Role::Used;
        }
        let turns = matches!(reading.items[at].text.as_str(), "turns" | "turning" | "turned" | "turn");
        if turns && reading.number(at + 1).is_some() {
            reading.items[at].meaning = Meaning::Terms(vec![Term::new("occasion", "birthday")]);
        }
    }
}

/// Parts of the shop count where things in general are asked for, or nothing else is.
fn general(reading: &mut Reading<'_>) {
    let wanted = |item: &Item| item.role == Role::Open && item.term().is_some_and(|term| term.is_thing() && !term.weak);
    let strong = reading.items.iter().any(wanted);
    let wished =
        reading.context.request.wishes.iter().any(|wish| wish.wanted && matches!(&*wish.slot, "product" | "category"));
    let mut taken = false;
    for at in 0..reading.items.len() {
        let weak = reading.items[at].term().is_some_and(|term| term.is_thing() && term.weak);
        if !weak {
            continue;
        }
        let generally = reading.items.get(at + 1).is_some_and(|next| next.is(Cue::One));
        let cues = [Cue::Find, Cue::Sell, Cue::Like, Cue::HateBefore, Cue::HateAfter];
        let asked = reading.context.is_empty() || cues.into_iter().any(|cue| reading.has(cue));
        let alone = !strong && !taken && asked && !wished;
        if generally || alone {
            taken = true;
        } else {
            reading.items[at].role = Role::Used;
        }
    }
}

/// English names a thing by the last of several nouns: a bicycle bell, a scratching post.
fn compounds(reading: &mut Reading<'_>) {
    for at in (1..reading.items.len()).rev() {
        // Of two things side by side, Korean means the second as well: 트리 장식.
        if reading.items[at].korean && reading.items[at].is_thing() && reading.items[at - 1].is_thing() {
            if reading.items[at].role == Role::Open && reading.items[at - 1].role == Role::Open {
                reading.items[at - 1].role = Role::Used;
            }
            continue;
        }
        if reading.items[at].korean || !reading.items[at].is_thing() || !reading.items[at].spaced {
            continue;
        }
        let mut first = at;
        while first > 0 && at - first < 2 && modifies(&reading.items[first - 1]) {
            first -= 1;
        }
        if first == at {
            continue;
        }
        // A christmas tree decoration is a decoration, and for christmas.
        if let Some(occasion) = reading.items[first].term().and_then(|term| occasion_of(&term.value)) {
            reading.use_up(first + 1, at);
            reading.items[first].meaning = Meaning::Terms(vec![Term::new("occasion", occasion)]);
            continue;
        }
        let words: Vec<String> = reading.items[first..=at].iter().map(|item| lexicon::key(&item.text)).collect();
        reading.use_up(first, at);
        reading.items[at].meaning = Meaning::Terms(vec![Term::new("product", &words.join(" "))]);
    }
}

fn occasion_of(thing: &str) -> Option<&'static str> {
    let (first, _) = thing.split_once(' ')?;
    lexicon::canonical(lexicon::Slot::Occasion, first)
}

fn modifies(item: &Item) -> bool {
    let noun = item.meaning == Meaning::Word && !is_an_adjective(&item.text);
    (noun || item.is_thing()) && !item.korean && item.role == Role::Open
}

/// By its ending; the common ones are fillers anyway.
fn is_an_adjective(word: &str) -> bool {
    ["y", "ful", "ish", "ous", "less", "able", "ible", "ive", "est", "ed", "ly", "'s", "ier"]
        .iter()
        .any(|end| word.ends_with(end))
}

/// Where a thing is used, or what it is for, is not what is wanted, if something else is.
fn places(reading: &mut Reading<'_>) {
    let is_place = |at: usize| {
        let items = &reading.items;
        if items[at].korean {
            let next = items[at + 1..].iter().find(|item| !item.is(Cue::Filler));
            return next.is_some_and(|next| next.is(Cue::Place));
        }
        let passes = |item: &Item| item.is(Cue::Filler) || item.term().is_some_and(|term| !term.is_thing());
        let before = items[..at].iter().rev().find(|item| !passes(item));
        before.is_some_and(|before| before.is(Cue::For) || before.is(Cue::Per) || before.text.starts_with("with"))
    };
    let things: Vec<usize> = (0..reading.items.len()).filter(|&at| reading.items[at].is_thing()).collect();
    let places: Vec<usize> = things.iter().copied().filter(|&at| is_place(at)).collect();
    if places.len() == things.len() {
        return;
    }
    for at in places.into_iter().filter(|&at| reading.items[at].role == Role::Open).collect::<Vec<_>>() {
        reading.items[at].role = Role::Used;
        // A long table is a long one of something else.
        for before in (0..at).rev() {
            if reading.items[before].term().is_none_or(Term::is_thing) {
                break;
            }
            reading.items[before].role = Role::Used;
        }
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
        let before = at.checked_sub(1).map(|before| &reading.items[before]);
        let elsewhere = before.is_some_and(|item| item.is_any(&[Cue::For, Cue::Mine, Cue::Quoted]));
        let words: Vec<String> = reading.items[at..at + length].iter().map(|item| lexicon::key(&item.text)).collect();
        let last = words.len() - 1;
        if !elsewhere && !is_an_adjective(&words[last]) && length <= 3 {
            let value: Arc<str> = words.join(" ").into();
            reading.use_up(at, at + last);
            reading.items[at + last].meaning = Meaning::Terms(vec![Term { slot: "product", value, weak: false }]);
            return;
        }
        at += length;
    }
}

/// A pattern that nobody has a word for: what "print" or "shaped" is said of.
fn motifs(reading: &mut Reading<'_>) {
    for at in 1..reading.items.len() {
        let word = &reading.items[at - 1];
        if word.meaning == Meaning::Word && word.role == Role::Open && reading.items[at].text == "style" {
            let value = lexicon::key(&word.text);
            reading.items[at - 1].meaning = Meaning::Terms(vec![Term::new("style", &value)]);
            continue;
        }
        if word.meaning == Meaning::Word
            && word.role == Role::Open
            && MARKERS.contains(&reading.items[at].text.as_str())
        {
            let value = lexicon::key(&word.text);
            reading.items[at - 1].meaning = Meaning::Terms(vec![Term::new("pattern", &value)]);
        }
    }
}

/// After these, anything is a pattern.
const MARKERS: &[&str] = &["print", "shaped", "themed", "motif", "pattern", "patterned", "shape", "design"];

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
                ("a bell for my dog", "product=bell"),
                ("a small tearoom needs teaspoons", "product=teaspoon"),
                ("bicycle bell", "product=bicycle bell"),
                ("my nan turns 80, a teacup", "occasion=birthday; product=teacup"),
                ("cherry print bowls", "pattern=cherry; product=bowl"),
                ("a spatchcock print bowl", "pattern=spatchcock; product=bowl"),
            ],
        );
    }
}
