//! How well an analyser understands: its answers beside labels that people wrote.
//!
//! [`Report`] compares with labelled [`Utterance`]s, micro-averaged: a right answer is one that has attribute, operator,
//! value and polarity right. [`DialogueReport`] compares with what people who talked in a shop were after. Neither knows
//! who answered: the local analyser or a language model.

use std::collections::BTreeMap;
use std::fmt;

use jangbogo_events::{PriceDirection, Understanding};
use serde::Serialize;

use crate::merge::{EVERYTHING, REFERENCE};

mod dialogue;
mod dialogue_report;
mod score;
mod utterance;

pub use dialogue::{Conversation, Dialogue, Item, read_dialogues, read_items};
pub use dialogue_report::DialogueReport;
pub use score::Score;
pub use utterance::{Split, Utterance, read};

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
        let slot = jangbogo_lexicon::Slot::from_name(attribute);
        let known = slot.and_then(|slot| jangbogo_lexicon::canonical(slot, value));
        let value = match attribute {
            "price" | "reference" | "quantity" | "category" => value.to_owned(),
            _ => jangbogo_lexicon::key(known.unwrap_or(value)),
        };
        Self { part, attribute: attribute.to_owned(), operator: operator.to_owned(), value, wanted }
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

/// How an analyser's answers compare with labelled utterances.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub languages: BTreeMap<String, LanguageReport>,
    /// Every utterance that was not understood as labelled.
    pub differences: Vec<Difference>,
}

/// What was right in one language.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LanguageReport {
    pub utterances: usize,
    /// Utterances whose intent is right.
    pub right_intents: usize,
    /// What is wanted and what not, by attribute.
    pub slots: BTreeMap<String, Score>,
    /// All of these together.
    pub all_slots: Score,
    /// Those of them that are unwanted: negations.
    pub unwanted: Score,
    /// What is taken back; not among the slots.
    pub retractions: Score,
    /// Attributes of which any value will do; not among the slots.
    pub no_preference: Score,
}

/// What was answered otherwise than labelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub id: String,
    pub text: String,
    /// What was labelled but not said.
    pub missed: Vec<String>,
    /// What was said but not labelled.
    pub wrong: Vec<String>,
}

impl Report {
    /// Compares one answer. Where there is none, all that is labelled was missed.
    pub fn add(&mut self, utterance: &Utterance, understood: Option<&Understanding>) {
        let mut expected = utterance.expected();
        expected.sort();
        expected.dedup();
        let said = understood.map(said).unwrap_or_default();
        let right = said.iter().filter(|said| expected.contains(said));
        let wrong = said.iter().filter(|said| !expected.contains(said));
        let missed = expected.iter().filter(|label| !said.contains(label));

        let language = self.languages.entry(utterance.language.clone()).or_default();
        right.for_each(|said| language.add(said, Score::RIGHT));
        wrong.clone().for_each(|said| language.add(said, Score::WRONG));
        missed.clone().for_each(|said| language.add(said, Score::MISSED));
        let intent = understood.map(|understood| understood.intent);
        let same = intent == Some(utterance.intent);
        language.utterances += 1;
        language.right_intents += usize::from(same);

        let mut difference = Difference {
            id: utterance.id.clone(),
            text: utterance.text.clone(),
            missed: missed.map(ToString::to_string).collect(),
            wrong: wrong.map(ToString::to_string).collect(),
        };
        if !same {
            difference.missed.push(format!("{:?}", utterance.intent));
            difference.wrong.extend(intent.map(|intent| format!("{intent:?}")));
        }
        if !(difference.missed.is_empty() && difference.wrong.is_empty()) {
            self.differences.push(difference);
        }
    }
}

impl LanguageReport {
    fn add(&mut self, said: &Said, score: Score) {
        match said.part {
            Part::Slot => {
                self.slots.entry(said.attribute.clone()).or_default().add(score);
                self.all_slots.add(score);
                if !said.wanted {
                    self.unwanted.add(score);
                }
            }
            Part::Retraction => self.retractions.add(score),
            Part::NoPreference => self.no_preference.add(score),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Slot => "",
            Part::Retraction => "taken back: ",
            Part::NoPreference => "any will do: ",
        };
        let sign = if self.wanted { "" } else { "not " };
        write!(formatter, "{part}{sign}{} {} {}", self.attribute, self.operator, self.value)
    }
}

#[cfg(test)]
mod tests;
