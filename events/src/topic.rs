//! The topics of the log.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! topics {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// A topic of the log. Its name in Kafka is prefixed with the shop's namespace.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Topic {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Topic {
            /// Every topic, in the order of their names' declaration.
            pub const ALL: &'static [Topic] = &[$(Topic::$variant,)+];

            /// The name without a namespace, as `topology.toml` has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Topic::$variant => $name,)+ }
            }

            /// The topic of that name (without a namespace).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Topic> {
                match name { $($name => Some(Topic::$variant),)+ _ => None }
            }
        }
    };
}

topics! {
    /// What is for sale: products upserted and retired. Key: `product_id`.
    CatalogEvents => "catalog-events",
    /// Orders the shop completed. Key: `member_id`, or `order_id` for an anonymous order.
    OrderCompleted => "order-completed",
    /// Product pages seen. Key: `member_id`, or `product_id` for an anonymous view.
    ProductViewed => "product-viewed",
    /// What members did besides: searches, carts, wish lists, recommendations shown and clicked, cancellations.
    UserBehavior => "user-behavior",
    /// Conversations opened, renamed, closed. Key: `conversation_id`.
    ConversationEvents => "conversation-events",
    /// What was said in them, by shopper and assistant. Key: `conversation_id`.
    ConversationMessageCreated => "conv-msg-created",
    /// What a message was understood to want, and preferences retracted.
    PreferenceEvents => "preference-events",
    /// Ranked recommendations as they were given.
    RecommendationEvents => "recommendation-events",
    /// Vectors of texts, as an embedding model gave them.
    EmbeddingEvents => "embedding-events",
    /// What operators decided about the log itself: dead letters requeued and discarded.
    AnalyticsEvents => "analytics-events",
    /// A member's purchase pattern, when it changed.
    PurchasePatternAnalyzed => "purchase-pattern-analyzed",
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
