//! What a message was understood to want, and what a member no longer wants believed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::conversation::{EXAMPLE_CONVERSATION, EXAMPLE_MESSAGE, uuid_key};
use super::example_value;
use crate::fields::{list, map};
use crate::primitives::{Currency, MemberId, ProductId, Text};
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

/// One thing wanted or not wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What it is about: `category`, `color`, `material`, `size`, `brand`, or another attribute's name.
    pub slot: Text<64>,
    /// The value, as the catalogue writes it.
    pub value: Text<256>,
    /// False when it is to be left out.
    pub wanted: bool,
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
    /// What it is for.
    pub intent: Intent,
    /// Wanted and unwanted values.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub wishes: Vec<Wish>,
    /// The price wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_range: Option<PriceRange>,
    /// How many units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// What for, such as a birthday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occasion: Option<Text<128>>,
    /// Products shown earlier that the message speaks of.
    #[schemars(length(max = 200))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 200>")]
    pub referenced_products: Vec<ProductId>,
    /// -1000 (angry) to 1000 (delighted).
    pub sentiment_permille: i16,
    /// BCP 47, such as `ko` or `en`.
    pub language: Text<16>,
    /// Who analysed it.
    pub analysed_by: ModelRun,
}

impl Payload for IntentAnalyzed {
    const TYPE: EventType = EventType::IntentAnalyzed;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        Self {
            message_id: EXAMPLE_MESSAGE,
            conversation_id: EXAMPLE_CONVERSATION,
            member_id: example_value!(MemberId::new("13085")),
            intent: Intent::FindProduct,
            wishes: vec![
                Wish {
                    slot: example_value!(Text::new("color")),
                    value: example_value!(Text::new("red")),
                    wanted: true,
                },
                Wish {
                    slot: example_value!(Text::new("material")),
                    value: example_value!(Text::new("plastic")),
                    wanted: false,
                },
            ],
            price_range: Some(PriceRange {
                min_minor: None,
                max_minor: Some(300),
                currency: example_value!(Currency::new("GBP")),
            }),
            quantity: None,
            occasion: None,
            referenced_products: Vec::new(),
            sentiment_permille: 0,
            language: example_value!(Text::new("ko")),
            analysed_by: ModelRun::example(),
        }
    }
}

/// A member took back a preference: what was learnt of it until now no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceRetracted {
    /// Whose.
    pub member_id: MemberId,
    /// `category`, `color`, `material`, …
    pub slot: Text<64>,
    /// The value to forget.
    pub value: Text<256>,
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
        }
    }
}
