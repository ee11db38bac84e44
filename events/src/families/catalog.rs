//! The catalogue.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::example_value;
use crate::fields::map;
use crate::primitives::{CategoryId, Currency, Money, ProductId, Text};
use crate::registry::{EventType, Payload};

/// A product was put on sale or changed. Holds the whole product: the newest event replaces earlier ones.
///
/// Version 1 wrote the price as a decimal text in the major unit (`"2.55"`); version 2 as minor units and currency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductUpserted {
    /// Id of the product.
    pub product_id: ProductId,
    /// Title shown to shoppers.
    pub title: Text<512>,
    /// Long text about the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<32768>>,
    /// The one category it is listed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<CategoryId>,
    /// Brand of the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<Text<128>>,
    /// Price of one unit; none if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Units that can be delivered; none if stock is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<u32>,
    /// Further attributes, such as colour or material.
    #[schemars(extend("maxProperties" = 256))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map::<_, _, _, 256>")]
    pub attributes: BTreeMap<Text<64>, Text<512>>,
}

impl Payload for ProductUpserted {
    const TYPE: EventType = EventType::ProductUpserted;

    fn key(&self) -> Cow<'_, str> {
        self.product_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            product_id: example_value!(ProductId::new("20725")),
            title: example_value!(Text::new("LUNCH BAG RED RETROSPOT")),
            description: Some(example_value!(Text::new("Insulated lunch bag with white dots on red"))),
            category: Some(example_value!(CategoryId::new("bags"))),
            brand: None,
            price: Some(Money { amount_minor: 165, currency: example_value!(Currency::new("GBP")) }),
            stock: Some(120),
            attributes: [(example_value!(Text::new("color")), example_value!(Text::new("red")))].into(),
        }
    }
}

/// A product was taken off sale. A later upsert brings it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductRetired {
    /// Id of the product.
    pub product_id: ProductId,
}

impl Payload for ProductRetired {
    const TYPE: EventType = EventType::ProductRetired;

    fn key(&self) -> Cow<'_, str> {
        self.product_id.as_str().into()
    }

    fn example() -> Self {
        Self { product_id: example_value!(ProductId::new("20725")) }
    }
}
