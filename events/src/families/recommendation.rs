//! Recommendations as they were given, with reasons and all inputs to reproduce them.

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
    /// Similarity of the product's text.
    #[serde(serialize_with = "finite")]
    pub content: f64,
    /// Bought together with products that the member bought.
    #[serde(serialize_with = "finite")]
    pub collaborative: f64,
    /// Fit with the request.
    #[serde(serialize_with = "finite")]
    pub intent: f64,
}

/// One product of a recommendation, as the catalogue had it then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendedProduct {
    /// Id of the product recommended.
    pub product_id: ProductId,
    /// Title at that time.
    pub title: Text<512>,
    /// Category at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryId>,
    /// Price at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Stock at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<u32>,
    /// The weighted sum of the sub-scores.
    #[serde(serialize_with = "finite")]
    pub score: f64,
    /// The parts of the score.
    pub sub_scores: SubScores,
    /// Reason, as shown to the shopper.
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
    /// The sub-score that the event contributed to.
    pub sub_score: SubScore,
    /// Id of the event.
    pub event_id: Text<128>,
    /// The product of that event, if it is another one, such as one that was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
}

/// Progress of the fold in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldedOffset {
    /// Topic name without namespace.
    pub topic: Text<128>,
    /// Number of the partition.
    pub partition: i32,
    /// The next offset to fold.
    pub next_offset: i64,
}

/// Products were ranked for a message. The ranking may be empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendationGenerated {
    /// Id of the recommendation.
    pub recommendation_id: Uuid,
    /// The message it answers.
    pub message_id: Uuid,
    /// The conversation of the message.
    pub conversation_id: Uuid,
    /// The member it is for.
    pub member_id: MemberId,
    /// Id of the `intent-analyzed` event it was computed from.
    pub intent_event_id: Text<128>,
    /// Meaning of the message.
    pub understood: Box<Understanding>,
    /// The request that products were ranked for.
    pub request: Box<Request>,
    /// Ranked products, best first.
    #[schemars(length(max = 200))]
    #[serde(deserialize_with = "list::<_, _, 0, 200>")]
    pub items: Vec<RecommendedProduct>,
    /// Wishes that the best product does not meet; empty if one meets all.
    #[schemars(length(max = 100))]
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list::<_, _, 0, 100>")]
    pub lacking: Vec<Wish>,
    /// The weights used: those of the settings, shifted by the length of the member's history.
    pub weights: SubScores,
    /// The weights of the settings.
    pub weight_setting: SubScores,
    /// Id of the generation that it was computed from.
    pub generation: Uuid,
    /// Progress of that generation's fold.
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
