//! Cues: words that do not name what is wanted but say how it is meant. `data/cues-*.tsv` lists them.

use std::collections::HashMap;
use std::sync::LazyLock;

use jangbogo_lexicon::Phrases;
use jangbogo_lexicon::numbers::KOREAN_COUNTERS;

/// What a cue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// What follows is unwanted.
    NotBefore,
    /// What follows is unwanted, and that is a matter of taste.
    HateBefore,
    /// What was said before it in its clause is unwanted.
    NotAfter,
    /// As above, and a matter of taste.
    HateAfter,
    /// What stands right before it is unwanted.
    NotAdjacent,
    /// Looks like a negation, and negates nothing that is wanted.
    NotOnly,
    /// A new clause begins.
    Clause,
    /// Joins two of a kind.
    Join,
    /// What it belongs to is only compared with.
    Than,
    Find,
    /// Asks whether the shop has something.
    Sell,
    /// Says what is liked.
    Like,
    /// What is said holds in general.
    Habit,
    /// Takes something back.
    Forget,
    /// It holds no longer.
    NoLonger,
    /// Speaks of what was said.
    Said,
    /// All that was said.
    Everything,
    /// Any value will do.
    Any,
    /// A value is not needed; any other will do as well.
    NotNeeded,
    /// It will do as well.
    IsFine,
    Slot(&'static str),
    /// Less expensive than what was shown.
    Cheaper,
    /// More expensive than what was shown.
    Dearer,
    /// Says that it should not cost much, without a limit.
    CheapWord,
    /// The price before or after it is a limit, or nearly the price.
    AtMostBefore,
    AtMostAfter,
    AtLeastBefore,
    AtLeastAfter,
    AboutBefore,
    AboutAfter,
    Between,
    To,
    /// The price is one unit's.
    Per,
    /// A range that begins with the number: 만원대.
    Band,
    /// An amount in pence.
    Money(u32),
    Currency(&'static str),
    Times(u32),
    Number(u32),
    /// Counts things; each stands for so many.
    Counter(u32),
    /// A measure; an empty name for what is neither a size nor a count of things.
    Unit(&'static str),
    /// The number after it is how many are in one.
    SetOf,
    /// Which of those shown.
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
    /// Like something.
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
    /// What stands before (or after) it is shown on the thing.
    MarkerAfter,
    MarkerBefore,
    /// What follows (or, in Korean, what precedes) is where or for what the thing is used.
    For,
    /// Whose: what follows is the shopper's, not the shop's.
    Mine,
    /// Somebody else is spoken of; after that the shopper again.
    Third,
    Itself,
    /// What is written on a thing.
    Quoted,
    Refuse,
    /// What was said before is corrected.
    Correct,
    /// It is not asked for, nor ruled out.
    Unneeded,
    /// Qualities in its clause are something else's: the lounge is all grey.
    Elsewhere,
    /// What stands before it is a part of a thing: with a handle.
    Part,
    /// Several are meant: 들.
    Plural,
    Filler,
    /// Korean particles that matter.
    Topic,
    Object,
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
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, cue)| *cue)
    }

    /// Whether it only means something right after a number.
    pub fn follows_a_number(self) -> bool {
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

/// A row's cues; a table may give a phrase several at once, joined by `+`.
fn cues_of(name: &'static str) -> impl Iterator<Item = Cue> {
    name.split('+').filter_map(Cue::from_name)
}

fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    rows.flat_map(|(name, forms)| forms.split('|').map(move |form| (name, form)))
}

/// English cues by phrase.
pub static ENGLISH: LazyLock<Phrases<Vec<Cue>>> = LazyLock::new(|| {
    let mut phrases = Phrases::<Vec<Cue>>::default();
    for (name, form) in rows(include_str!("../data/cues-en.tsv")) {
        // "Don't care" is said as "don't really care" as well.
        let really = ["dont ", "doesnt ", "not ", "isnt ", "arent "]
            .iter()
            .find_map(|start| form.strip_prefix(start).map(|rest| format!("{start}really {rest}")));
        for form in std::iter::once(form).chain(really.as_deref()) {
            for cue in cues_of(name) {
                if let Some(cues) = phrases.entry(form).filter(|cues| !cues.contains(&cue)) {
                    cues.push(cue);
                }
            }
        }
    }
    phrases
});

/// English words that neither name nor say anything here.
pub static FILLERS: LazyLock<std::collections::HashSet<String>> =
    LazyLock::new(|| include_str!("../data/fillers-en.txt").lines().map(jangbogo_lexicon::key).collect());

/// Korean cues by their forms as written, with spaces.
pub static KOREAN: LazyLock<HashMap<&'static str, Vec<Cue>>> = LazyLock::new(|| {
    let mut forms = HashMap::<&'static str, Vec<Cue>>::new();
    for (name, form) in rows(include_str!("../data/cues-ko.tsv")) {
        forms.entry(form).or_default().extend(cues_of(name));
    }
    for (counter, count) in KOREAN_COUNTERS {
        forms.entry(counter).or_default().push(Cue::Counter(*count));
    }
    forms
});

/// Korean particles and endings.
pub static ENDINGS: LazyLock<HashMap<&'static str, Vec<Cue>>> = LazyLock::new(|| {
    let mut forms = HashMap::<&'static str, Vec<Cue>>::new();
    for (name, form) in rows(include_str!("../data/endings-ko.tsv")) {
        forms.entry(form).or_default().extend(cues_of(name));
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
