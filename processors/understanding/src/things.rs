//! What kind of thing is meant: which of a phrase's meanings, which of several things, and things nobody has a word for.

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role, Term};
use crate::nameless;
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
        if names_a_shade(&reading.items, at) {
            reading.items[at].role = Role::Used;
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

/// "Sage green": which green it is, and nothing by itself.
fn names_a_shade(items: &[Item], at: usize) -> bool {
    let is_color = |item: &Item| matches!(&item.meaning, Meaning::Terms(terms) if terms[0].slot == "color");
    SHADES.contains(&items[at].text.as_str()) && items.get(at + 1).is_some_and(|next| next.spaced && is_color(next))
}

#[rustfmt::skip]
const SHADES: &[&str] = &[
    "apple", "brick", "butter", "cherry", "chocolate", "cinnamon", "cornflower", "dove", "fern", "honey", "lavender",
    "leaf", "lemon", "peacock", "rose", "sage", "slate", "steel", "stone", "strawberry", "sunflower", "sunshine",
];

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
    others(reading);
    general(reading);
    compounds(reading);
    places(reading);
    nameless::read(reading);
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
        if birthday(reading, at) {
            reading.items[at].meaning = Meaning::Terms(vec![Term::new("occasion", "birthday")]);
        }
        let turns = matches!(reading.items[at].text.as_str(), "turns" | "turning" | "turned" | "turn");
        if turns && reading.number(at + 1).is_some() {
            reading.items[at].meaning = Meaning::Terms(vec![Term::new("occasion", "birthday")]);
        }
    }
}

/// "My dad's 60th", "her fortieth": a birthday, unless it is said what else.
fn birthday(reading: &Reading<'_>, at: usize) -> bool {
    let item = &reading.items[at];
    let ordinal = item.cue(|cue| matches!(cue, Cue::Ordinal(16..=100)).then_some(())).is_some()
        || AGES.contains(&item.text.as_str());
    let whose = at > 0 && (reading.items[at - 1].is(Cue::Mine) || reading.items[at - 1].text.ends_with("'s"));
    let other = reading.items.get(at + 1).is_some_and(|next| next.term().is_some() || next.meaning == Meaning::Word);
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
        if generally || alone || is_listed(&reading.items, at) {
            taken = true;
        } else {
            reading.items[at].role = Role::Used;
        }
    }
}

/// "Jars, a rack and labels": whether a product of the catalogue stands in a list.
fn is_listed(items: &[Item], at: usize) -> bool {
    let product = !items[at].korean && items[at].term().is_some_and(|term| term.slot == "product");
    let divides = |item: &Item| item.is(Cue::Join) || item.meaning == Meaning::Comma;
    let before = items[..at].iter().rposition(|item| !item.is(Cue::Filler));
    let named = before.is_some_and(|before| divides(&items[before]) && before > 0 && items[before - 1].is_thing());
    product && named && items.get(at + 1).is_none_or(|next| divides(next) || next.meaning == Meaning::Stop)
}

/// English names a thing by the last of several nouns: a bicycle bell, a scratching post.
fn compounds(reading: &mut Reading<'_>) {
    for at in (1..reading.items.len()).rev() {
        stand(reading, at);
        head(reading, at);
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
        while first > 0
            && at - first < 2
            && modifies(&reading.items[first - 1])
            && !is_a_verb(&reading.items, first - 1)
        {
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

/// After a thing, "stand" and the like are nouns: a plate stand. "Lights" are one anywhere.
fn stand(reading: &mut Reading<'_>, at: usize) {
    let head = lexicon::key(&reading.items[at].text);
    let is_verb = reading.items.get(at + 1).is_some_and(|next| matches!(next.text.as_str(), "up" | "out" | "on"));
    let before = &reading.items[at - 1];
    let of_thing = before.is_thing() && before.role == Role::Open && !before.korean;
    let noun = matches!(head.as_str(), "stand" | "case" | "rest") && of_thing || reading.items[at].text == "lights";
    if noun && !is_verb && reading.items[at].is(Cue::Filler) {
        reading.items[at].meaning = Meaning::Terms(vec![Term::new("product", &head)]);
    }
}

/// "Kettle descaler": a noun that nobody knows, at the end of what is said of a thing, is what is meant.
fn head(reading: &mut Reading<'_>, at: usize) {
    let items = &reading.items;
    let ends = items.get(at + 1).is_none_or(|next| {
        matches!(next.meaning, Meaning::Stop | Meaning::Comma) || next.is_any(&[Cue::For, Cue::Find, Cue::Join])
    });
    let noun = items[at].meaning == Meaning::Word && modifies(&items[at]) && items[at].spaced;
    let before = &items[at - 1];
    // Not so in "is the bag waterproof" and "cushion geometric", where it says how a thing is.
    let article = |item: &Item| matches!(item.text.as_str(), "a" | "an" | "some" | "any");
    let starts = items[..at - 1].iter().rposition(|item| !article(item));
    let asked = starts.map_or(at > 1, |starts| items[starts].is_any(&[Cue::Find, Cue::Sell, Cue::Join]));
    if ends && noun && asked && before.is_thing() && before.role == Role::Open && !before.korean {
        let term = Term::new("product", &lexicon::key(&items[at].text));
        reading.items[at].meaning = Meaning::Terms(vec![term]);
    }
}

fn occasion_of(thing: &str) -> Option<&'static str> {
    let (first, _) = thing.split_once(' ')?;
    lexicon::canonical(lexicon::Slot::Occasion, first)
}

pub(crate) fn modifies(item: &Item) -> bool {
    let noun = item.meaning == Meaning::Word && !is_an_adjective(&item.text);
    (noun || item.is_thing()) && !item.korean && item.role == Role::Open
}

/// "To decorate".
pub(crate) fn is_a_verb(items: &[Item], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| items[before].text.as_str());
    items[at].meaning == Meaning::Word && before.is_some_and(|before| before == "to" || before.ends_with(" to"))
}

/// By its ending; the common ones are fillers anyway.
pub(crate) fn is_an_adjective(word: &str) -> bool {
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
        // Words are a compound's first, or adjectives.
        let passes = |item: &Item| {
            item.is_filler() && !matches!(item.text.as_str(), "so" | "then")
                || matches!(item.meaning, Meaning::Word | Meaning::Number(_))
                || item.term().is_some_and(|term| !term.is_thing())
        };
        let before = items[..at].iter().rev().take(12).find(|item| !passes(item));
        before.is_some_and(|before| before.is(Cue::For) || before.is(Cue::Per) || before.text.starts_with("with"))
    };
    let things: Vec<usize> = (0..reading.items.len()).filter(|&at| reading.items[at].is_thing()).collect();
    let mut places: Vec<usize> = things.iter().copied().filter(|&at| is_place(at)).collect();
    if places.len() == things.len() {
        // "Something to hang on the christmas tree" is not the tree, "something for the kitchen" is of the kitchen.
        places.retain(|&at| !reading.items[at].korean && something_for(reading, at));
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

/// Whether it says where "something" or "a gift" is to be used.
fn something_for(reading: &Reading<'_>, at: usize) -> bool {
    let product = reading.items[at].term().is_some_and(|term| term.slot == "product");
    let used = |item: &Item| item.is(Cue::For) && !item.text.starts_with("of") && item.text != "in";
    let before = &reading.items[..at];
    let asked =
        before.iter().position(|item| ["something", "anything", "things"].iter().any(|word| item.text.contains(word)));
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
