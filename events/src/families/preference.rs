//! What a message was understood to want, and what a member no longer wants believed.

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

/// Which model or analyser gave an output, and how it was asked: enough to tell two runs apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelRun {
    /// The model's or analyser's id.
    pub model: Text<128>,
    /// SHA-256 of the prompt, in hexadecimal; none for an analyser without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_hash: Option<Text<64>>,
    /// What else it was given, such as the temperature.
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

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Wants products shown.
    FindProduct,
    /// Changes what was just asked for.
    RefineSearch,
    /// Asks about a product that was shown.
    AskAboutProduct,
    /// Says what is liked or disliked.
    StatePreference,
    /// Takes back what was said before.
    RetractPreference,
    /// Greets, thanks, chats.
    SmallTalk,
    /// None of these.
    Other,
}

/// Limits on the price of one unit, in the currency's minor unit, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceRange {
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_minor: Option<i64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Currency,
}

/// A price wish that stands beside what was shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PriceDirection {
    /// Less than that.
    Cheaper,
    /// More than that.
    Dearer,
}

/// One thing wanted or not wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What it is about: `category`, `product` (a kind of thing, such as `lunch bag`), `color`, `material`, `pattern`,
    /// `style`, `size`, `brand`, `occasion`, or another attribute's name.
    pub slot: Text<64>,
    /// The value, as the catalogue writes it, in lower case.
    pub value: Text<256>,
    /// False when it is to be left out.
    pub wanted: bool,
}

/// Something said before that no longer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retraction {
    /// As in [`Wish`].
    pub slot: Text<64>,
    /// As in [`Wish`].
    pub value: Text<256>,
}

/// What one message says, in the context of its conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Understanding {
    /// What it is for.
    pub intent: Intent,
    /// Values wanted and unwanted.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub wishes: Vec<Wish>,
    /// The price wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceRange>,
    /// The price wanted, beside what was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_direction: Option<PriceDirection>,
    /// How many units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// What is taken back.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub retracted: Vec<Retraction>,
    /// Slots of which any value will do; `price` among them.
    #[schemars(length(max = 20))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 20>")]
    pub indifferent: Vec<Text<64>>,
    /// Products shown earlier that it speaks of.
    #[schemars(length(max = 200))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 200>")]
    pub references: Vec<ProductId>,
    /// -1000 (angry) to 1000 (delighted).
    pub sentiment_permille: i16,
    /// BCP 47, such as `ko` or `en`.
    pub language: Text<16>,
}

/// What is looked for in a conversation by now: everything said in it that still holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What to search for, in the catalogue's words.
    pub words: Text<512>,
    /// Values wanted and unwanted.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub wishes: Vec<Wish>,
    /// The price of one unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceRange>,
    /// How many units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// Products that what is looked for should be like, or that are asked about.
    #[schemars(length(max = 200))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 200>")]
    pub like: Vec<ProductId>,
}

/// A text's vector, and whose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// The model's id; vectors of two models are never compared.
    pub model: Text<128>,
    /// Of length 1.
    pub vector: Vector,
}

/// A message was analysed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentAnalyzed {
    /// The message.
    pub message_id: Uuid,
    /// Where it was said.
    pub conversation_id: Uuid,
    /// Who said it.
    pub member_id: MemberId,
    /// What it says.
    pub understood: Box<Understanding>,
    /// What is looked for after it.
    pub request: Box<Request>,
    /// The vector of what is looked for, so that no later stage embeds it again; none when no model answered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// Who analysed it.
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

/// A member took back a preference: what was learnt of it until now no longer counts, or what one message said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceRetracted {
    /// Whose.
    pub member_id: MemberId,
    /// `category`, `color`, `material`, …
    pub slot: Text<64>,
    /// The value to forget.
    pub value: Text<256>,
    /// Only what this message said; none for everything until now.
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
