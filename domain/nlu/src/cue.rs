//! Cues: words that name no value but modify how names are meant. `data/cues-*.tsv` lists them.

use std::collections::HashMap;
use std::sync::LazyLock;

use jangbogo_lexicon::Phrases;
use jangbogo_lexicon::numbers::KOREAN_COUNTERS;

/// Function of a cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    /// Excludes the names after it.
    NotBefore,
    /// Excludes the names after it, as a statement of taste.
    HateBefore,
    /// Excludes the names before it in its clause.
    NotAfter,
    /// Excludes the names before it in its clause, as a statement of taste.
    HateAfter,
    /// Excludes the name right before it.
    NotAdjacent,
    /// Looks like a negation but excludes nothing: "not only".
    NotOnly,
    /// Begins a new clause.
    Clause,
    /// Joins two names of one slot.
    Join,
    /// Compares: the name that it belongs to is not a wish.
    Than,
    Find,
    /// Asks whether the shop has a product.
    Sell,
    Like,
    /// Makes a statement of taste general: "always".
    Habit,
    /// Retracts an earlier statement.
    Forget,
    /// Says that an earlier statement no longer holds.
    NoLonger,
    /// Refers to an earlier statement: "what I said".
    Said,
    /// Refers to all earlier statements.
    Everything,
    /// Says that any value of a slot will do.
    Any,
    /// Says that a value is not required: "doesn't have to be".
    NotNeeded,
    /// Says that a value is acceptable too.
    IsFine,
    Slot(&'static str),
    /// Less expensive than the products shown.
    Cheaper,
    /// More expensive than the products shown.
    Dearer,
    /// Asks for a low price without a limit.
    CheapWord,
    AtMostBefore,
    AtMostAfter,
    AtLeastBefore,
    AtLeastAfter,
    AboutBefore,
    AboutAfter,
    Between,
    To,
    /// Marks the price of one unit.
    Per,
    /// A range that begins with the number: 만원대.
    Band,
    /// An amount in pence.
    Money(u32),
    Currency(&'static str),
    Times(u32),
    Number(u32),
    /// A counter, with the number of units that one stands for.
    Counter(u32),
    /// A unit of measure; empty if it measures neither a size nor a quantity.
    Unit(&'static str),
    /// The number after it is the number of pieces in one product.
    SetOf,
    /// Position among the products shown, from 1.
    Ordinal(usize),
    Last,
    Former,
    Latter,
    Cheapest,
    Dearest,
    This,
    That,
    These,
    Both,
    Rest,
    /// Stands for a noun: one, thing, 거.
    One,
    /// Asks for similar products.
    Same,
    Question,
    Ask,
    Buy,
    More,
    Thanks,
    Greet,
    Chat,
    Service,
    Abuse,
    Injection,
    /// The name before it is a motif on the product.
    MarkerAfter,
    /// The name after it is a motif on the product.
    MarkerBefore,
    /// The noun after it (before it in Korean) is a place or purpose of use.
    For,
    /// Possessive: the noun after it belongs to the shopper.
    Mine,
    /// Refers to a third person; the shopper is the subject again after it.
    Third,
    Itself,
    /// Text that is written on a product.
    Quoted,
    Refuse,
    /// Corrects an earlier value in the same message.
    Correct,
    /// The name before it is neither a wish nor an exclusion.
    Unneeded,
    /// Qualities in its clause describe another object: "the lounge is all grey".
    Elsewhere,
    /// The noun before it is a part of a product: 손잡이 달린.
    Part,
    /// Plural suffix: 들.
    Plural,
    Filler,
    /// Korean topic particle: 은, 는.
    Topic,
    /// Korean object particle: 을, 를.
    Object,
    /// Korean locative particle.
    Place,
}

impl Cue {
    fn from_name(name: &'static str) -> Option<Self> {
        if let Some((name, value)) = name.split_once('=') {
            let number = || value.parse().ok();
            return match name {
                "slot" => Some(Self::Slot(value)),
                "currency" => Some(Self::Currency(value)),
                "unit" => Some(Self::Unit(if value == "none" { "" } else { value })),
                "money" => number().map(Self::Money),
                "times" => number().map(Self::Times),
                "number" => number().map(Self::Number),
                "ordinal" => value.parse().ok().map(Self::Ordinal),
                _ => None,
            };
        }
        NAMES.iter().find(|(other, _)| *other == name).map(|(_, cue)| *cue)
    }

    /// True for a cue that has a meaning only right after a number.
    pub(crate) fn follows_a_number(self) -> bool {
        matches!(self, Self::Currency(_) | Self::Times(_) | Self::Counter(_) | Self::Unit(_) | Self::Band)
    }
}

#[rustfmt::skip]
const NAMES: &[(&str, Cue)] = &[
    ("not-before", Cue::NotBefore), ("hate-before", Cue::HateBefore), ("not-after", Cue::NotAfter),
    ("hate-after", Cue::HateAfter), ("not-adjacent", Cue::NotAdjacent), ("not-only", Cue::NotOnly),
    ("clause", Cue::Clause), ("join", Cue::Join), ("than", Cue::Than), ("find", Cue::Find), ("sell", Cue::Sell),
    ("like", Cue::Like), ("habit", Cue::Habit), ("forget", Cue::Forget), ("no-longer", Cue::NoLonger),
    ("said", Cue::Said), ("everything", Cue::Everything), ("any", Cue::Any), ("not-needed", Cue::NotNeeded),
    ("is-fine", Cue::IsFine), ("cheaper", Cue::Cheaper), ("dearer", Cue::Dearer), ("cheap-word", Cue::CheapWord),
    ("at-most-before", Cue::AtMostBefore), ("at-most-after", Cue::AtMostAfter),
    ("at-least-before", Cue::AtLeastBefore), ("at-least-after", Cue::AtLeastAfter),
    ("about-before", Cue::AboutBefore), ("about-after", Cue::AboutAfter), ("between", Cue::Between), ("to", Cue::To),
    ("per", Cue::Per), ("band", Cue::Band), ("set-of", Cue::SetOf), ("last", Cue::Last), ("former", Cue::Former),
    ("latter", Cue::Latter), ("cheapest", Cue::Cheapest), ("dearest", Cue::Dearest), ("this", Cue::This),
    ("that", Cue::That), ("these", Cue::These), ("both", Cue::Both), ("rest", Cue::Rest), ("one", Cue::One),
    ("same", Cue::Same), ("question", Cue::Question), ("ask", Cue::Ask), ("buy", Cue::Buy), ("more", Cue::More),
    ("thanks", Cue::Thanks), ("greet", Cue::Greet), ("chat", Cue::Chat), ("service", Cue::Service),
    ("abuse", Cue::Abuse), ("injection", Cue::Injection), ("marker-after", Cue::MarkerAfter),
    ("marker-before", Cue::MarkerBefore), ("for", Cue::For), ("mine", Cue::Mine), ("third", Cue::Third),
    ("self", Cue::Itself), ("quoted", Cue::Quoted), ("refuse-no", Cue::Refuse), ("filler", Cue::Filler),
    ("correct", Cue::Correct),
    ("unneeded", Cue::Unneeded), ("elsewhere", Cue::Elsewhere), ("part", Cue::Part), ("plural", Cue::Plural),
    ("topic", Cue::Topic), ("object", Cue::Object), ("place", Cue::Place),
];

/// Cues of a row of a table, joined by `+`.
fn parse_cues(name: &'static str) -> impl Iterator<Item = Cue> {
    name.split('+').filter_map(Cue::from_name)
}

fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    rows.flat_map(|(name, forms)| forms.split('|').map(move |form| (name, form)))
}

pub(crate) static ENGLISH: LazyLock<Phrases<Vec<Cue>>> = LazyLock::new(|| {
    let mut phrases = Phrases::<Vec<Cue>>::default();
    for (name, form) in rows(include_str!("../data/cues-en.tsv")) {
        // "Don't care" is also written "don't really care".
        let really = ["dont ", "doesnt ", "not ", "isnt ", "arent "]
            .iter()
            .find_map(|start| form.strip_prefix(start).map(|rest| format!("{start}really {rest}")));
        for form in std::iter::once(form).chain(really.as_deref()) {
            for cue in parse_cues(name) {
                if let Some(cues) = phrases.entry(form).filter(|cues| !cues.contains(&cue)) {
                    cues.push(cue);
                }
            }
        }
    }
    phrases
});

/// English words without a meaning for the analyser.
pub(crate) static FILLERS: LazyLock<std::collections::HashSet<String>> =
    LazyLock::new(|| include_str!("../data/fillers-en.txt").lines().map(jangbogo_lexicon::key).collect());

/// Korean cues by form, with spaces.
pub(crate) static KOREAN: LazyLock<HashMap<&'static str, Vec<Cue>>> = LazyLock::new(|| {
    let mut forms = HashMap::<&'static str, Vec<Cue>>::new();
    for (name, form) in rows(include_str!("../data/cues-ko.tsv")) {
        forms.entry(form).or_default().extend(parse_cues(name));
    }
    for (counter, count) in KOREAN_COUNTERS {
        forms.entry(counter).or_default().push(Cue::Counter(*count));
    }
    forms
});

/// Korean particles and endings.
pub(crate) static ENDINGS: LazyLock<HashMap<&'static str, Vec<Cue>>> = LazyLock::new(|| {
    let mut forms = HashMap::<&'static str, Vec<Cue>>::new();
    for (name, form) in rows(include_str!("../data/endings-ko.tsv")) {
        forms.entry(form).or_default().extend(parse_cues(name));
    }
    forms
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_tables_is_a_cue() {
        let tables = [include_str!("../data/cues-en.tsv"), include_str!("../data/cues-ko.tsv")];
        for (name, form) in tables.into_iter().chain([include_str!("../data/endings-ko.tsv")]).flat_map(rows) {
            assert!(name == "-" || name.split('+').all(|name| Cue::from_name(name).is_some()), "{name}: {form}");
        }
    }

    #[test]
    fn phrases_are_found() {
        assert_eq!(ENGLISH.longest(&["no", "more", "than", "five"]), Some((3, &vec![Cue::AtMostBefore])));
        assert!(KOREAN["말고"].contains(&Cue::NotAdjacent));
        assert!(ENDINGS["이나"].contains(&Cue::Join));
        assert!(FILLERS.contains("mum"));
    }
}
