//! Learns product kinds, categories, brands and values from a catalogue.
//!
//! A title names its product kind at the end of a run of words: at the title's end, before a quality ("LUNCH BAG | RED
//! RETROSPOT"), or before an accessory ("CANDLE | IN JAR"). So the last one to three words of every run are counted,
//! and frequent phrases are kinds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jangbogo_lexicon::{Phrases, Slot, singular, split};

use crate::cue;
use crate::span::Term;
use crate::vocabulary::{ProductText, unknown_values};

/// Least number of runs that end in a phrase of several words, or in a single word, for a kind.
const MIN_RUNS_OF_PHRASE: u32 = 3;
const MIN_RUNS_OF_WORD: u32 = 5;

/// Names in a catalogue that the lexicon does not have.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// Product kinds, each with a flag for weak evidence (a single word).
    pub kinds: Vec<(String, bool)>,
    pub categories: BTreeSet<String>,
    pub brands: BTreeSet<String>,
    pub values: BTreeSet<(Slot, String)>,
    /// Words of all titles.
    pub words: HashSet<String>,
}

/// Words that end a run.
const DIVIDERS: &[&str] = &["in", "with", "w", "for", "by", "and", "on", "of", "at", "to", "from", "without", "or"];

/// Words at the end of titles that are not product kinds.
#[rustfmt::skip]
const NO_KINDS: &[&str] = &[
    "set", "pack", "piece", "design", "size", "style", "colour", "color", "assorted", "pair", "collection", "asst",
    "range", "edition", "des", "col", "asstd", "ass", "dec", "nan", "cm", "pc", "tall", "new", "black", "other",
    "shape", "part", "item", "type", "decorative", "hanging", "finish", "print", "home", "house", "love", "time",
    "day", "water", "party", "garden", "kitchen", "series", "drop", "top", "base", "tone", "single", "choice",
    "parade", "happy", "image",
];

/// Reads a catalogue; `lexicon` has the phrases that are known already.
pub(crate) fn read<'a>(products: impl IntoIterator<Item = ProductText<'a>>, lexicon: &Phrases<Vec<Term>>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    let mut counts = Counts::default();
    let mut values = BTreeMap::<(Slot, String), u32>::new();
    for product in products {
        let mut words = Vec::with_capacity(12);
        split(product.title, |word| words.push(singular(word).into_owned()));
        counts.add(&words, lexicon);
        catalogue.words.extend(words);
        catalogue.categories.extend(product.category.map(str::to_owned));
        let brand = product.brand.map(|brand| brand.trim().to_lowercase());
        catalogue.brands.extend(brand.filter(|brand| !brand.is_empty() && brand.chars().count() <= 64));
        for value in unknown_values(&product) {
            *values.entry(value).or_default() += 1;
        }
    }
    catalogue.values = values.into_iter().filter(|(_, count)| *count > 1).map(|(value, _)| value).collect();
    catalogue.kinds = counts.kinds();
    catalogue
}

#[derive(Default)]
struct Counts {
    /// Occurrences of each word in titles.
    words: HashMap<String, u32>,
    /// Number of runs that end in a phrase.
    ends: HashMap<String, u32>,
}

impl Counts {
    fn add(&mut self, words: &[String], lexicon: &Phrases<Vec<Term>>) {
        let mut run = 0;
        let mut at = 0;
        while at < words.len() {
            *self.words.entry(words[at].clone()).or_default() += 1;
            let quality =
                lexicon.longest(&words[at..]).filter(|(_, terms)| terms.iter().all(|term| !term.names_kind()));
            let divides = DIVIDERS.contains(&words[at].as_str()) || words[at].starts_with(|c: char| c.is_ascii_digit());
            let length = quality.map_or(usize::from(divides), |(length, _)| length);
            if length > 0 {
                self.end(&words[run..at]);
                run = at + length;
            }
            at += length.max(1);
        }
        self.end(&words[run..]);
    }

    fn end(&mut self, run: &[String]) {
        for length in 1..=run.len().min(3) {
            *self.ends.entry(run[run.len() - length..].join(" ")).or_default() += 1;
        }
    }

    fn kinds(self) -> Vec<(String, bool)> {
        let mut kinds = Vec::new();
        for (phrase, count) in &self.ends {
            let words: Vec<&str> = phrase.split(' ').collect();
            let last = words[words.len() - 1];
            let common = |word: &str| cue::FILLERS.contains(word) || word.len() < 3 || NO_KINDS.contains(&word);
            if common(last) || common(words[0]) || cue::ENGLISH.get(last).is_some() {
                continue;
            }
            let enough = if words.len() > 1 {
                *count >= MIN_RUNS_OF_PHRASE
            } else {
                let anywhere = self.words.get(last).copied().unwrap_or_default();
                *count >= MIN_RUNS_OF_WORD && count * 3 >= anywhere
            };
            if enough {
                kinds.push((phrase.clone(), words.len() == 1));
            }
        }
        kinds.sort_unstable();
        kinds
    }
}
