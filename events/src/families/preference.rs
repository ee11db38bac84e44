//! Intents and preferences understood from messages, and preferences that members retract.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::conversation::{EXAMPLE_CONVERSATION, EXAMPLE_MESSAGE, uuid_key};
use super::example_value;
use crate::fields::{list, map};
use crate::primitives::{Currency, MemberId, ProductId, Text, Vector};
use crate::registry::{EventType, Payload};

/// The model or analyser of an output, with prompt and parameters: enough to tell two runs apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelRun {
    /// Id of the model or analyser.
    pub model: Text<128>,
    /// SHA-256 of the prompt, in hexadecimal; none for an analyser without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_hash: Option<Text<64>>,
    /// Further parameters, such as the temperature.
    #[schemars(extend("maxProperties" = 32))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map::<_, _, _, 32>")]
    pub parameters: BTreeMap<Text<64>, Text<256>>,
}

impl ModelRun {
    /// A run of a language model. Texts beyond an event's limits are shortened.
    #[must_use]
    pub fn of_language_model(model: &str, prompt_hash: &str, parameters: &BTreeMap<String, String>) -> Self {
        let parameters = parameters.iter().map(|(name, value)| (Text::shortened(name), Text::shortened(value)));
        Self {
            model: Text::shortened(model),
            prompt_hash: Some(Text::shortened(prompt_hash)),
            parameters: parameters.collect(),
        }
    }

    pub(super) fn example() -> Self {
        Self { model: example_value!(Text::new("local-analyser-1")), prompt_hash: None, parameters: BTreeMap::new() }
    }
}

/// Intent of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Asks for products to be shown.
    FindProduct,
    /// Changes the request made before.
    RefineSearch,
    /// Asks about a product that was shown.
    AskAboutProduct,
    /// States a like or dislike.
    StatePreference,
    /// Retracts an earlier statement.
    RetractPreference,
    /// Greets, thanks or makes conversation.
    SmallTalk,
    /// Any other intent.
    Other,
}

/// Limits on the price of one unit, in the currency's minor unit, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceRange {
    /// Lower limit; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_minor: Option<i64>,
    /// Upper limit; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minor: Option<i64>,
    /// ISO 4217 code of the currency.
    pub currency: Currency,
}

/// A price wish relative to the products shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PriceDirection {
    /// Cheaper than the products shown.
    Cheaper,
    /// Dearer than the products shown.
    Dearer,
}

/// A wanted or unwanted value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Attribute: `category`, `product` (a kind of product, such as `lunch bag`), `color`, `material`, `pattern`,
    /// `style`, `size`, `brand`, `occasion`, or another attribute's name.
    pub slot: Text<64>,
    /// The value as in the catalogue, in lower case.
    pub value: Text<256>,
    /// False if products with the value are to be left out.
    pub wanted: bool,
}

impl Wish {
    /// True for a wish for a kind of product rather than a quality.
    #[must_use]
    pub fn names_kind(&self) -> bool {
        is_kind(&self.slot)
    }
}

/// True for the slots that name what a product is, `product` and `category`, rather than a quality of it.
#[must_use]
pub fn is_kind(slot: &str) -> bool {
    matches!(slot, "product" | "category")
}

/// An earlier wish that no longer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retraction {
    /// Attribute, as in [`Wish`].
    pub slot: Text<64>,
    /// The value, as in [`Wish`].
    pub value: Text<256>,
}

/// Meaning of one message, in the context of its conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Understanding {
    /// Intent of the message.
    pub intent: Intent,
    /// Wanted and unwanted values.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub wishes: Vec<Wish>,
    /// Limits on the price of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceRange>,
    /// Price wish relative to the products shown before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_direction: Option<PriceDirection>,
    /// Number of units wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// Earlier wishes that are retracted.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub retracted: Vec<Retraction>,
    /// Slots of which any value will do, `price` included.
    #[schemars(length(max = 20))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 20>")]
    pub indifferent: Vec<Text<64>>,
    /// Products shown earlier that the message refers to.
    #[schemars(length(max = 200))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 200>")]
    pub references: Vec<ProductId>,
    /// Sentiment, from -1000 (angry) to 1000 (delighted).
    pub sentiment_permille: i16,
    /// BCP 47 language tag, such as `ko` or `en`.
    pub language: Text<16>,
}

/// The request of a conversation so far: all wishes that still hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Search text, in the catalogue's words.
    pub words: Text<512>,
    /// Wanted and unwanted values.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub wishes: Vec<Wish>,
    /// Limits on the price of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceRange>,
    /// Number of units wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// Products that results should be similar to, or that the member asks about.
    #[schemars(length(max = 200))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 200>")]
    pub like: Vec<ProductId>,
}

/// A text's embedding and its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// Id of the model. Vectors of different models are never compared.
    pub model: Text<128>,
    /// Embedding, of length 1.
    pub vector: Vector,
}

/// A message was analysed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentAnalyzed {
    /// Id of the message.
    pub message_id: Uuid,
    /// The conversation it belongs to.
    pub conversation_id: Uuid,
    /// Author of the message.
    pub member_id: MemberId,
    /// Meaning of the message.
    pub understood: Box<Understanding>,
    /// The conversation's request after the message.
    pub request: Box<Request>,
    /// Embedding of the request, so that no later stage computes it again; none if no model answered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// The model or analyser that analysed it.
    pub analysed_by: ModelRun,
}

impl Payload for IntentAnalyzed {
    const TYPE: EventType = EventType::IntentAnalyzed;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        let price =
            PriceRange { min_minor: None, max_minor: Some(300), currency: example_value!(Currency::new("GBP")) };
        let wishes = [("product", "lunch bag", true), ("color", "red", true), ("material", "plastic", false)];
        let wishes: Vec<Wish> = wishes
            .into_iter()
            .map(|(slot, value, wanted)| Wish {
                slot: example_value!(Text::new(slot)),
                value: example_value!(Text::new(value)),
                wanted,
            })
            .collect();
        Self {
            message_id: EXAMPLE_MESSAGE,
            conversation_id: EXAMPLE_CONVERSATION,
            member_id: example_value!(MemberId::new("13085")),
            understood: Box::new(Understanding {
                intent: Intent::FindProduct,
                wishes: wishes.clone(),
                price: Some(price),
                price_direction: None,
                quantity: None,
                retracted: Vec::new(),
                indifferent: Vec::new(),
                references: Vec::new(),
                sentiment_permille: 0,
                language: example_value!(Text::new("ko")),
            }),
            request: Box::new(Request {
                words: example_value!(Text::new("red lunch bag")),
                wishes,
                price: Some(price),
                quantity: None,
                like: Vec::new(),
            }),
            embedded: Some(Embedded {
                model: example_value!(Text::new("all-MiniLM-L6-v2")),
                vector: Vector::example(),
            }),
            analysed_by: ModelRun::example(),
        }
    }
}

/// A member retracted a preference: what was learnt of it so far no longer counts, or what one message said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceRetracted {
    /// The member who retracted it.
    pub member_id: MemberId,
    /// Attribute, such as `category`, `color` or `material`.
    pub slot: Text<64>,
    /// The value that no longer counts.
    pub value: Text<256>,
    /// Limits the retraction to what this message said; none for everything so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Uuid>,
}

impl Payload for PreferenceRetracted {
    const TYPE: EventType = EventType::PreferenceRetracted;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            member_id: example_value!(MemberId::new("13085")),
            slot: example_value!(Text::new("material")),
            value: example_value!(Text::new("plastic")),
            message_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_shortens_what_a_server_says() {
        let parameters = BTreeMap::from([("model".to_owned(), "m".repeat(1000))]);
        let run = ModelRun::of_language_model(&"모델\0".repeat(100), &"0".repeat(64), &parameters);
        assert_eq!(run.model.chars().count(), 128);
        assert_eq!(run.prompt_hash.as_deref().map(str::len), Some(64));
        assert_eq!(run.parameters.values().next().unwrap().len(), 256);
    }
}
