//! Recommendations as they were given: reproducible, with the reasons.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::conversation::{EXAMPLE_CONVERSATION, EXAMPLE_MESSAGE, uuid_key};
use super::{IntentAnalyzed, Request, Understanding, Wish, example_value};
use crate::fields::{finite, list};
use crate::primitives::{CategoryId, Currency, MemberId, Money, ProductId, Text};
use crate::registry::{EventType, Payload};

/// The parts of a hybrid score, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubScores {
    /// Likeness of the product's text.
    #[serde(serialize_with = "finite")]
    pub content: f64,
    /// Bought together with what the member bought.
    #[serde(serialize_with = "finite")]
    pub collaborative: f64,
    /// Fit with what was asked for.
    #[serde(serialize_with = "finite")]
    pub intent: f64,
}

/// One product of a recommendation, as the catalogue had it then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendedProduct {
    /// Which product.
    pub product_id: ProductId,
    /// Its title then.
    pub title: Text<512>,
    /// Its category then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryId>,
    /// Its price then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Its stock then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<u32>,
    /// The weighted sum of the sub-scores.
    #[serde(serialize_with = "finite")]
    pub score: f64,
    /// What it is made of.
    pub sub_scores: SubScores,
    /// Why, for a shopper to read.
    pub reason: Text<512>,
    /// The events that the sub-scores come from.
    #[schemars(length(max = 100))]
    #[serde(default, deserialize_with = "list::<_, _, 0, 100>")]
    pub caused_by: Vec<Cause>,
}

/// A part of a hybrid score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubScore {
    /// See [`SubScores::content`].
    Content,
    /// See [`SubScores::collaborative`].
    Collaborative,
    /// See [`SubScores::intent`].
    Intent,
}

/// An event that a sub-score comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// Which sub-score.
    pub sub_score: SubScore,
    /// The event's id.
    pub event_id: Text<128>,
    /// The product that event was about, when it was another one, such as one that was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
}

/// How far a topic's partition had been folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldedOffset {
    /// The topic, without namespace.
    pub topic: Text<128>,
    /// The partition.
    pub partition: i32,
    /// The next offset to fold.
    pub next_offset: i64,
}

/// Products were ranked for a message. Possibly none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendationGenerated {
    /// The recommendation.
    pub recommendation_id: Uuid,
    /// For which message.
    pub message_id: Uuid,
    /// Where it was said.
    pub conversation_id: Uuid,
    /// For whom.
    pub member_id: MemberId,
    /// The `intent-analyzed` event it answers.
    pub intent_event_id: Text<128>,
    /// What the message says.
    pub understood: Box<Understanding>,
    /// What was looked for.
    pub request: Box<Request>,
    /// Best first.
    #[schemars(length(max = 200))]
    #[serde(deserialize_with = "list::<_, _, 0, 200>")]
    pub items: Vec<RecommendedProduct>,
    /// What was asked for and the product that comes nearest does not have; empty where one has all of it.
    #[schemars(length(max = 100))]
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list::<_, _, 0, 100>")]
    pub lacking: Vec<Wish>,
    /// The weights used: those set, shifted for the length of the member's history.
    pub weights: SubScores,
    /// The weights set.
    pub weight_setting: SubScores,
    /// The generation of the projections it was computed from.
    pub generation: Uuid,
    /// How far that generation had been folded.
    #[schemars(length(max = 10_000))]
    #[serde(deserialize_with = "list::<_, _, 0, 10_000>")]
    pub folded_offsets: Vec<FoldedOffset>,
}

impl Payload for RecommendationGenerated {
    const TYPE: EventType = EventType::RecommendationGenerated;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        Self {
            recommendation_id: Uuid::from_u128(0x0193_9d2e_7400_7a10_8000_0000_0000_0003),
            message_id: EXAMPLE_MESSAGE,
            conversation_id: EXAMPLE_CONVERSATION,
            member_id: example_value!(MemberId::new("13085")),
            intent_event_id: example_value!(Text::new("0f5d6f2e-0b0e-5a52-9a55-1c5a3a2f0b11")),
            understood: IntentAnalyzed::example().understood,
            request: IntentAnalyzed::example().request,
            items: vec![RecommendedProduct {
                product_id: example_value!(ProductId::new("20725")),
                title: example_value!(Text::new("LUNCH BAG RED RETROSPOT")),
                category: Some(example_value!(CategoryId::new("bags"))),
                price: Some(Money { amount_minor: 165, currency: example_value!(Currency::new("GBP")) }),
                stock: None,
                score: 0.86,
                sub_scores: SubScores { content: 0.8, collaborative: 0.7, intent: 1.0 },
                reason: example_value!(Text::new("red, under 3 pounds, often bought with your lunch box")),
                caused_by: vec![Cause {
                    sub_score: SubScore::Collaborative,
                    event_id: example_value!(Text::new("order-489434")),
                    product_id: Some(example_value!(ProductId::new("22386"))),
                }],
            }],
            lacking: Vec::new(),
            weights: SubScores { content: 0.33, collaborative: 0.23, intent: 0.44 },
            weight_setting: SubScores { content: 0.3, collaborative: 0.3, intent: 0.4 },
            generation: Uuid::from_u128(0x0193_9d2e_0000_7a10_8000_0000_0000_0004),
            folded_offsets: vec![FoldedOffset {
                topic: example_value!(Text::new("order-completed")),
                partition: 0,
                next_offset: 8141,
            }],
        }
    }
}
