//! Orders and cancellations.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::example_value;
use crate::fields::list;
use crate::primitives::{Currency, MemberId, OrderId, ProductId, Quantity};
use crate::registry::{EventType, Payload};

/// One line of an order or a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderItem {
    /// Id of the product bought.
    pub product_id: ProductId,
    /// Number of units concerned.
    pub quantity: Quantity,
    /// Price of all units together, in the minor unit of the order's currency; rounded once, half to even.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    #[serde(deserialize_with = "line_total")]
    pub total_minor: i64,
}

impl OrderItem {
    /// Largest line total, in minor units: the sum of ten thousand such lines fits in 64 bits.
    pub const MAX_TOTAL_MINOR: i64 = 1_000_000_000_000;
}

fn line_total<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let total = i64::deserialize(deserializer)?;
    if (0..=OrderItem::MAX_TOTAL_MINOR).contains(&total) {
        return Ok(total);
    }
    let max = OrderItem::MAX_TOTAL_MINOR;
    Err(serde::de::Error::custom(format!("a line total must be 0 to {max} minor units, not {total}")))
}

/// The shop completed an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderCompleted {
    /// Id of the order.
    pub order_id: OrderId,
    /// The buyer; none for an anonymous one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// Currency of every line.
    pub currency: Currency,
    /// Lines, at least one; several may have the same product.
    #[schemars(length(min = 1, max = 10_000))]
    #[serde(deserialize_with = "list::<_, _, 1, 10_000>")]
    pub items: Vec<OrderItem>,
}

impl Payload for OrderCompleted {
    const TYPE: EventType = EventType::OrderCompleted;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_deref().unwrap_or(&self.order_id).into()
    }

    fn example() -> Self {
        Self {
            order_id: example_value!(OrderId::new("489434")),
            member_id: Some(example_value!(MemberId::new("13085"))),
            currency: example_value!(Currency::new("GBP")),
            items: vec![
                OrderItem {
                    product_id: example_value!(ProductId::new("20725")),
                    quantity: example_value!(Quantity::new(10)),
                    total_minor: 1650,
                },
                OrderItem {
                    product_id: example_value!(ProductId::new("22386")),
                    quantity: example_value!(Quantity::new(2)),
                    total_minor: 390,
                },
            ],
        }
    }
}

/// Units of an order were cancelled. Changes units and revenue, never counts of products bought together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderCancelled {
    /// The shop's number of this cancellation.
    pub cancellation_id: OrderId,
    /// The order, if the shop knows which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The buyer; none for an anonymous one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// Currency of every line.
    pub currency: Currency,
    /// Cancelled lines: positive quantities and totals.
    #[schemars(length(min = 1, max = 10_000))]
    #[serde(deserialize_with = "list::<_, _, 1, 10_000>")]
    pub items: Vec<OrderItem>,
}

impl Payload for OrderCancelled {
    const TYPE: EventType = EventType::OrderCancelled;

    fn key(&self) -> Cow<'_, str> {
        let order = self.order_id.as_ref().unwrap_or(&self.cancellation_id);
        self.member_id.as_deref().unwrap_or(order).into()
    }

    fn example() -> Self {
        Self {
            cancellation_id: example_value!(OrderId::new("C489449")),
            order_id: Some(example_value!(OrderId::new("489434"))),
            member_id: Some(example_value!(MemberId::new("13085"))),
            currency: example_value!(Currency::new("GBP")),
            items: vec![OrderItem {
                product_id: example_value!(ProductId::new("20725")),
                quantity: example_value!(Quantity::new(1)),
                total_minor: 165,
            }],
        }
    }
}
