//! How well an analyser understands: its answers beside labels that people wrote.
//!
//! An utterance is a line of JSON: what was said, in which context, and what it says. Slots and retractions, negations
//! and indifference are counted apart, micro-averaged: a right answer is one that has attribute, operator, value and
//! polarity right. The same comparison serves the local analyser and a language model: it takes any closure.

use std::collections::BTreeMap;
use std::fmt;

use events::{Currency, PriceDirection, Understanding};

use crate::merge::{EVERYTHING, REFERENCE};
use crate::reading::Context;

mod utterance;

pub use utterance::{Utterance, read};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Slot,
    Retraction,
    NoPreference,
}

/// One thing said, so that two ways to say it in labels and in events are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    part: Part,
    attribute: String,
    operator: String,
    value: String,
    wanted: bool,
}

impl Said {
    /// Values are compared without case, plural and punctuation; a known value's synonyms are one.
    fn new(part: Part, attribute: &str, operator: &str, value: &str, wanted: bool) -> Self {
        let slot = lexicon::Slot::from_name(attribute);
        let known = slot.and_then(|slot| lexicon::canonical(slot, value));
        let value = match attribute {
            "price" | "reference" | "quantity" | "category" => value.to_owned(),
            _ => lexicon::key(known.unwrap_or(value)),
        };
        Self { part, attribute: attribute.to_owned(), operator: operator.to_owned(), value, wanted }
    }

    fn name(&self) -> String {
        match self.part {
            Part::Slot => self.attribute.clone(),
            Part::Retraction => "(taken back)".to_owned(),
            Part::NoPreference => "(any will do)".to_owned(),
        }
    }
}

fn said(understanding: &Understanding) -> Vec<Said> {
    let slot = |attribute: &str, operator: &str, value: &str, wanted| {
        Said::new(Part::Slot, attribute, operator, value, wanted)
    };
    let mut all: Vec<Said> =
        understanding.wishes.iter().map(|wish| slot(&wish.slot, "=", &wish.value, wish.wanted)).collect();
    if let Some(price) = understanding.price {
        let limits = [(">=", price.min_minor), ("<=", price.max_minor)];
        all.extend(limits.into_iter().filter_map(|(operator, minor)| {
            Some(slot("price", operator, &format!("{} {}", minor?, price.currency), true))
        }));
    }
    all.extend(understanding.price_direction.map(|direction| {
        let value = if direction == PriceDirection::Cheaper { "cheaper" } else { "dearer" };
        slot("price-direction", "=", value, true)
    }));
    all.extend(understanding.quantity.map(|units| slot("quantity", "=", &units.to_string(), true)));
    all.extend(understanding.references.iter().map(|id| slot(REFERENCE, "=", id, true)));
    // The labels do not list what "forget everything" takes back.
    let retracted = understanding.retracted.iter().filter(|retraction| &*retraction.slot != EVERYTHING);
    all.extend(retracted.map(|taken| Said::new(Part::Retraction, &taken.slot, "=", &taken.value, true)));
    all.extend(understanding.indifferent.iter().map(|slot| Said::new(Part::NoPreference, slot, "=", "any", true)));
    all.sort();
    all.dedup();
    all
}

/// How often an analyser was right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Said, and labelled so.
    pub right: usize,
    /// Said, but not labelled.
    pub wrong: usize,
    /// Labelled, but not said.
    pub missed: usize,
}

impl Score {
    /// How much of what it said is right; 1 when it said nothing.
    #[must_use]
    pub fn precision(self) -> f64 {
        ratio(self.right, self.right + self.wrong)
    }

    /// How much of what is labelled it said; 1 when nothing is.
    #[must_use]
    pub fn recall(self) -> f64 {
        ratio(self.right, self.right + self.missed)
    }

    /// The harmonic mean of both.
    #[must_use]
    pub fn f1(self) -> f64 {
        ratio(2 * self.right, 2 * self.right + self.wrong + self.missed)
    }

    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a file's lines")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// What was answered otherwise than labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The utterance's id.
    pub id: String,
    /// What was labelled but not said, and what was said but not labelled.
    pub missed: Vec<String>,
    /// See above.
    pub wrong: Vec<String>,
}

/// The outcome of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By language and slot; retractions and indifference stand as slots of their own, in parentheses.
    pub slots: BTreeMap<(String, String), Score>,
    /// By language: what is unwanted.
    pub negations: BTreeMap<String, Score>,
    /// By language: messages whose intent is right, of all.
    pub intents: BTreeMap<String, (usize, usize)>,
    /// Every utterance that was not understood as labelled.
    pub differences: Vec<Difference>,
}

impl Report {
    /// All slots of a language together, without retractions and indifference; of every language for none.
    #[must_use]
    pub fn overall(&self, language: Option<&str>) -> Score {
        self.sum(|of, slot| language.is_none_or(|language| of == language) && !slot.starts_with('('))
    }

    /// What is taken back, and slots of which any will do, in a language; of every language for none.
    #[must_use]
    pub fn turns(&self, language: Option<&str>) -> Score {
        self.sum(|of, slot| language.is_none_or(|language| of == language) && slot.starts_with('('))
    }

    fn sum(&self, counts: impl Fn(&str, &str) -> bool) -> Score {
        let mut sum = Score::default();
        for ((language, slot), score) in &self.slots {
            if counts(language, slot) {
                sum.add(*score);
            }
        }
        sum
    }

    fn count(&mut self, utterance: &Utterance, understood: &Understanding) {
        let mut expected = utterance.expected();
        expected.sort();
        expected.dedup();
        let said = said(understood);
        let right = said.iter().filter(|said| expected.contains(said));
        let wrong = said.iter().filter(|said| !expected.contains(said));
        let missed = expected.iter().filter(|label| !said.contains(label));
        let mut add = |said: &Said, score: Score| {
            self.slots.entry((utterance.language.clone(), said.name())).or_default().add(score);
            if !said.wanted {
                self.negations.entry(utterance.language.clone()).or_default().add(score);
            }
        };
        right.for_each(|said| add(said, Score { right: 1, ..Score::default() }));
        wrong.clone().for_each(|said| add(said, Score { wrong: 1, ..Score::default() }));
        missed.clone().for_each(|said| add(said, Score { missed: 1, ..Score::default() }));
        let (good, all) = self.intents.entry(utterance.language.clone()).or_default();
        let same = utterance.intent == understood.intent;
        *good += usize::from(same);
        *all += 1;
        let mut difference = Difference {
            id: utterance.id.clone(),
            missed: missed.map(ToString::to_string).collect(),
            wrong: wrong.map(ToString::to_string).collect(),
        };
        if !same {
            difference.missed.push(format!("{:?}", utterance.intent));
            difference.wrong.push(format!("{:?}", understood.intent));
        }
        if !(difference.missed.is_empty() && difference.wrong.is_empty()) {
            self.differences.push(difference);
        }
    }
}

/// Compares an analyser's answers with the labels.
pub fn evaluate<'u>(
    utterances: impl IntoIterator<Item = &'u Utterance>,
    default_currency: Currency,
    mut analyse: impl FnMut(&Context, &str) -> Understanding,
) -> Report {
    let mut report = Report::default();
    for utterance in utterances {
        let understood = analyse(&utterance.context(default_currency), &utterance.text);
        report.count(utterance, &understood);
    }
    report
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.wanted { "" } else { "not " };
        let part = if self.part == Part::Slot { String::new() } else { format!("{} ", self.name()) };
        write!(formatter, "{part}{sign}{} {} {}", self.attribute, self.operator, self.value)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<24} precision  recall      F1  labelled", "")?;
        let mut row = |name: &str, score: Score| {
            let (precision, recall, f1) = (score.precision(), score.recall(), score.f1());
            writeln!(formatter, "{name:<24} {precision:>9.3} {recall:>7.3} {f1:>7.3} {:>9}", score.right + score.missed)
        };
        for ((language, slot), score) in &self.slots {
            row(&format!("{language} {slot}"), *score)?;
        }
        for language in self.intents.keys() {
            row(&format!("{language} all slots"), self.overall(Some(language)))?;
            row(&format!("{language} unwanted"), self.negations.get(language).copied().unwrap_or_default())?;
            row(&format!("{language} taken back, any"), self.turns(Some(language)))?;
        }
        row("all slots", self.overall(None))?;
        for (language, (good, all)) in &self.intents {
            writeln!(formatter, "{language} intent: {good} of {all}, {:.3}", ratio(*good, *all))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
