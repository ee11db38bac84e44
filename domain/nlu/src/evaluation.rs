//! Evaluation of an analyser (local or a language model) against labels written by people.
//!
//! [`Report`] compares with labelled [`Utterance`]s, micro-averaged: an answer is right if attribute, operator, value
//! and polarity are. [`DialogueReport`] compares with the goals of annotated conversations.

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
enum Kind {
    Slot,
    Retraction,
    NoPreference,
}

/// A slot value, retraction or indifference in normal form, from a label or from an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Annotation {
    kind: Kind,
    attribute: String,
    operator: String,
    value: String,
    wanted: bool,
}

impl Annotation {
    /// Values are compared without case, plural and punctuation; synonyms of the lexicon are equal.
    fn new(kind: Kind, attribute: &str, operator: &str, value: &str, wanted: bool) -> Self {
        let slot = jangbogo_lexicon::Slot::from_name(attribute);
        let canonical = slot.and_then(|slot| jangbogo_lexicon::canonical(slot, value));
        let value = match attribute {
            "price" | "reference" | "quantity" | "category" => value.to_owned(),
            _ => jangbogo_lexicon::key(canonical.unwrap_or(value)),
        };
        Self { kind, attribute: attribute.to_owned(), operator: operator.to_owned(), value, wanted }
    }
}

fn annotations(understanding: &Understanding) -> Vec<Annotation> {
    let slot = |attribute: &str, operator: &str, value: &str, wanted| {
        Annotation::new(Kind::Slot, attribute, operator, value, wanted)
    };
    let mut all: Vec<Annotation> =
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
    // The labels do not list the retractions of "forget everything".
    let retracted = understanding.retracted.iter().filter(|retraction| &*retraction.slot != EVERYTHING);
    all.extend(retracted.map(|one| Annotation::new(Kind::Retraction, &one.slot, "=", &one.value, true)));
    all.extend(
        understanding.indifferent.iter().map(|slot| Annotation::new(Kind::NoPreference, slot, "=", "any", true)),
    );
    all.sort();
    all.dedup();
    all
}

/// Comparison of an analyser's answers with labelled utterances.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub languages: BTreeMap<String, LanguageReport>,
    /// Every utterance whose answer differs from its labels.
    pub differences: Vec<Difference>,
}

/// Scores of one language.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LanguageReport {
    pub utterances: usize,
    /// Utterances whose intent is right.
    pub right_intents: usize,
    /// Wanted and excluded values, by attribute.
    pub slots: BTreeMap<String, Score>,
    /// Sum of `slots`.
    pub all_slots: Score,
    /// Excluded values among `slots`.
    pub unwanted: Score,
    /// Retractions, which `slots` does not include.
    pub retractions: Score,
    /// Attributes of which any value will do, which `slots` does not include.
    pub no_preference: Score,
}

/// Differences of one answer from its labels, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub id: String,
    pub text: String,
    /// Labels without an answer.
    pub missed: Vec<String>,
    /// Answers without a label.
    pub wrong: Vec<String>,
}

impl Report {
    /// Compares one answer. Without an answer, all labels are missed.
    pub fn add(&mut self, utterance: &Utterance, answer: Option<&Understanding>) {
        let mut expected = utterance.expected();
        expected.sort();
        expected.dedup();
        let answered = answer.map(annotations).unwrap_or_default();
        let right = answered.iter().filter(|annotation| expected.contains(annotation));
        let wrong = answered.iter().filter(|annotation| !expected.contains(annotation));
        let missed = expected.iter().filter(|label| !answered.contains(label));

        let language = self.languages.entry(utterance.language.clone()).or_default();
        right.for_each(|annotation| language.add(annotation, Score::RIGHT));
        wrong.clone().for_each(|annotation| language.add(annotation, Score::WRONG));
        missed.clone().for_each(|annotation| language.add(annotation, Score::MISSED));
        let intent = answer.map(|answer| answer.intent);
        let is_right_intent = intent == Some(utterance.intent);
        language.utterances += 1;
        language.right_intents += usize::from(is_right_intent);

        let mut difference = Difference {
            id: utterance.id.clone(),
            text: utterance.text.clone(),
            missed: missed.map(ToString::to_string).collect(),
            wrong: wrong.map(ToString::to_string).collect(),
        };
        if !is_right_intent {
            difference.missed.push(format!("{:?}", utterance.intent));
            difference.wrong.extend(intent.map(|intent| format!("{intent:?}")));
        }
        if !(difference.missed.is_empty() && difference.wrong.is_empty()) {
            self.differences.push(difference);
        }
    }
}

impl LanguageReport {
    fn add(&mut self, annotation: &Annotation, score: Score) {
        match annotation.kind {
            Kind::Slot => {
                self.slots.entry(annotation.attribute.clone()).or_default().add(score);
                self.all_slots.add(score);
                if !annotation.wanted {
                    self.unwanted.add(score);
                }
            }
            Kind::Retraction => self.retractions.add(score),
            Kind::NoPreference => self.no_preference.add(score),
        }
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.kind {
            Kind::Slot => "",
            Kind::Retraction => "retracted: ",
            Kind::NoPreference => "any will do: ",
        };
        let sign = if self.wanted { "" } else { "not " };
        write!(formatter, "{prefix}{sign}{} {} {}", self.attribute, self.operator, self.value)
    }
}

#[cfg(test)]
mod tests;
