//! Purchase patterns of members.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::example_value;
use crate::fields::{finite, finite_option, list};
use crate::primitives::{CategoryId, Currency, MemberId, Money};
use crate::registry::{EventType, Payload};

/// A member's purchase pattern changed: other favourites, or an interval, basket size or value that differs by more
/// than a tenth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurchasePatternAnalyzed {
    /// Id of the member.
    pub member_id: MemberId,
    /// Number of orders so far.
    pub orders: u32,
    /// The median number of days between two orders; none before the second.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "finite_option")]
    pub median_days_between_orders: Option<f64>,
    /// Mean number of units per order.
    #[serde(serialize_with = "finite")]
    pub mean_units_per_order: f64,
    /// Mean value per order, one entry for each currency.
    #[schemars(length(min = 1, max = 17_576))]
    #[serde(deserialize_with = "list::<_, _, 1, 17_576>")]
    pub mean_order_value: Vec<Money>,
    /// Hours of the day (0 to 23, the shop's time zone), most frequent first.
    #[schemars(length(max = 24))]
    #[serde(deserialize_with = "list::<_, _, 0, 24>")]
    pub favourite_hours: Vec<u8>,
    /// Categories, most bought first.
    #[schemars(length(max = 100))]
    #[serde(deserialize_with = "list::<_, _, 0, 100>")]
    pub favourite_categories: Vec<CategoryId>,
}

impl Payload for PurchasePatternAnalyzed {
    const TYPE: EventType = EventType::PurchasePatternAnalyzed;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            member_id: example_value!(MemberId::new("13085")),
            orders: 12,
            median_days_between_orders: Some(21.5),
            mean_units_per_order: 96.0,
            mean_order_value: vec![Money { amount_minor: 21_340, currency: example_value!(Currency::new("GBP")) }],
            favourite_hours: vec![10, 12],
            favourite_categories: vec![example_value!(CategoryId::new("bags"))],
        }
    }
}
