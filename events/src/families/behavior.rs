//! Behaviour of shoppers besides orders and conversations.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::example_value;
use crate::fields::list;
use crate::primitives::{MemberId, ProductId, Quantity, Text};
use crate::registry::{EventType, Payload};

/// A product page was viewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductViewed {
    /// The viewer; none for an anonymous shopper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// Id of the product viewed.
    pub product_id: ProductId,
}

impl Payload for ProductViewed {
    const TYPE: EventType = EventType::ProductViewed;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_deref().unwrap_or(&self.product_id).into()
    }

    fn example() -> Self {
        Self {
            member_id: Some(example_value!(MemberId::new("13085"))),
            product_id: example_value!(ProductId::new("20725")),
        }
    }
}

/// A member searched the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductSearched {
    /// The member who searched.
    pub member_id: MemberId,
    /// Search text as typed.
    pub query: Text<512>,
    /// Number of products found; none if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_count: Option<u32>,
}

impl Payload for ProductSearched {
    const TYPE: EventType = EventType::ProductSearched;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            member_id: example_value!(MemberId::new("13085")),
            query: example_value!(Text::new("빨간 도시락 가방")),
            result_count: Some(12),
        }
    }
}

macro_rules! item_behavior {
    ($($(#[$doc:meta])* $name:ident $(with $quantity:ident)?,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The member who did it.
            pub member_id: MemberId,
            /// Id of the product concerned.
            pub product_id: ProductId,
            $(
                /// Number of units concerned.
                pub $quantity: Quantity,
            )?
        }

        impl Payload for $name {
            const TYPE: EventType = EventType::$name;

            fn key(&self) -> Cow<'_, str> {
                self.member_id.as_str().into()
            }

            fn example() -> Self {
                Self {
                    member_id: example_value!(MemberId::new("13085")),
                    product_id: example_value!(ProductId::new("20725")),
                    $($quantity: example_value!(Quantity::new(2)),)?
                }
            }
        }
    )+};
}

item_behavior! {
    /// A product was put into a member's cart.
    CartItemAdded with quantity,
    /// A product was taken out of a member's cart.
    CartItemRemoved with quantity,
    /// A product was put on a member's wish list.
    WishlistItemAdded,
    /// A product was taken off a member's wish list.
    WishlistItemRemoved,
}

/// Recommended products were shown to a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendationShown {
    /// The member who saw them.
    pub member_id: MemberId,
    /// Id of the `recommendation-generated` they came from; none for other recommendations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<Uuid>,
    /// Products in the order shown.
    #[schemars(length(min = 1, max = 200))]
    #[serde(deserialize_with = "list::<_, _, 1, 200>")]
    pub product_ids: Vec<ProductId>,
}

impl Payload for RecommendationShown {
    const TYPE: EventType = EventType::RecommendationShown;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            member_id: example_value!(MemberId::new("13085")),
            recommendation_id: None,
            product_ids: vec![example_value!(ProductId::new("20725")), example_value!(ProductId::new("22386"))],
        }
    }
}

/// A member clicked a recommended product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendationClicked {
    /// The member who clicked.
    pub member_id: MemberId,
    /// Id of the product clicked.
    pub product_id: ProductId,
    /// Id of the `recommendation-generated` it came from; none for other recommendations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<Uuid>,
}

impl Payload for RecommendationClicked {
    const TYPE: EventType = EventType::RecommendationClicked;

    fn key(&self) -> Cow<'_, str> {
        self.member_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            member_id: example_value!(MemberId::new("13085")),
            product_id: example_value!(ProductId::new("20725")),
            recommendation_id: None,
        }
    }
}
