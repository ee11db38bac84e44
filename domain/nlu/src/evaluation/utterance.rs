//! Labelled utterances in files of JSON lines.

use jangbogo_events::{Currency, Intent, Money, PriceRange, ProductId, Request, Wish};
use serde::Deserialize;

use super::{Annotation, Kind};
use crate::parse_state::{Context, ShownProduct};

/// Half of the labelled utterances: see `utterances/README.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// For building an analyser.
    Development,
    /// For measuring an analyser only.
    HeldOut,
}

impl Split {
    /// `development` or `held-out`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::HeldOut => "held-out",
        }
    }

    /// # Errors
    /// When a line is not an utterance; the error names the line.
    pub fn utterances(self) -> Result<Vec<Utterance>, String> {
        let lines = match self {
            Self::Development => include_str!("../../utterances/development.jsonl"),
            Self::HeldOut => include_str!("../../utterances/held-out.jsonl"),
        };
        read(lines).map_err(|error| format!("{} utterances, {error}", self.name()))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Utterance {
    /// Unique: `ko-001`.
    pub id: String,
    /// `ko` or `en`.
    pub language: String,
    pub text: String,
    #[serde(default)]
    context: Option<LabelledContext>,
    pub intent: Intent,
    slots: Vec<SlotLabel>,
    retractions: Vec<RetractionLabel>,
    no_preference: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelledContext {
    #[serde(default)]
    request: Option<LabelledRequest>,
    #[serde(default)]
    shown: Vec<LabelledProduct>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelledRequest {
    #[serde(default)]
    wishes: Vec<Wish>,
    #[serde(default)]
    price: Option<PriceRange>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelledProduct {
    product_id: ProductId,
    title: String,
    price_minor: i64,
    currency: Currency,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotLabel {
    attribute: String,
    operator: String,
    value: String,
    polarity: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetractionLabel {
    attribute: String,
    value: String,
}

/// Reads utterances, one JSON document a line; empty lines are skipped.
///
/// # Errors
/// When a line is not an utterance; the error names the line.
pub fn read(lines: &str) -> Result<Vec<Utterance>, String> {
    let numbered = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(index, line)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1)))
        .collect()
}

impl Utterance {
    /// Context of the conversation before the utterance.
    #[must_use]
    pub fn context(&self, default_currency: Currency) -> Context {
        let mut context = Context::new(default_currency);
        let Some(labelled) = &self.context else { return context };
        if let Some(request) = &labelled.request {
            context.request = Request { wishes: request.wishes.clone(), price: request.price, ..Request::default() };
        }
        context.shown = labelled
            .shown
            .iter()
            .map(|shown| ShownProduct {
                product_id: shown.product_id.clone(),
                title: shown.title.clone(),
                category: None,
                price: Some(Money { amount_minor: shown.price_minor, currency: shown.currency }),
            })
            .collect();
        context
    }

    pub(super) fn expected(&self) -> Vec<Annotation> {
        let slots = self.slots.iter().map(|slot| {
            Annotation::new(Kind::Slot, &slot.attribute, &slot.operator, &slot.value, slot.polarity != "-")
        });
        let retractions = self
            .retractions
            .iter()
            .map(|retraction| Annotation::new(Kind::Retraction, &retraction.attribute, "=", &retraction.value, true));
        let any = self.no_preference.iter().map(|slot| Annotation::new(Kind::NoPreference, slot, "=", "any", true));
        slots.chain(retractions).chain(any).collect()
    }
}
