//! Topics of the log: the one source in code of their names, keys, partitions and descriptions. `schemas/asyncapi.json`
//! is generated from it, and `jangbogo topology check` compares `topology.toml` with it.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! topics {
    ($($variant:ident => $name:literal, key $key:literal, partitions $partitions:literal:
        $description:literal,)+) => {
        /// A topic of the log. Its name in Kafka is prefixed with the shop's namespace.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Topic {
            $(
                #[doc = concat!($description, ". Key: `", $key, "`.")]
                #[serde(rename = $name)]
                $variant,
            )+
        }

        impl Topic {
            /// Every topic, in the order of their declaration.
            pub const ALL: &'static [Topic] = &[$(Topic::$variant,)+];

            /// The name without a namespace.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Topic::$variant => $name,)+ }
            }

            /// Describes the fields that a record's key is made of.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Topic::$variant => $key,)+ }
            }

            /// Number of partitions. It never changes: keys would move to other partitions and lose their order.
            #[must_use]
            pub const fn partitions(self) -> u16 {
                match self { $(Topic::$variant => $partitions,)+ }
            }

            /// Describes the topic's events in one line, without a full stop.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Topic::$variant => $description,)+ }
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
    CatalogEvents => "catalog-events", key "product_id", partitions 6:
        "Products upserted and retired",
    OrderCompleted => "order-completed", key "member_id, or order_id without a member", partitions 6:
        "Orders the shop completed",
    ProductViewed => "product-viewed", key "member_id, or product_id without a member", partitions 6:
        "Product pages seen",
    UserBehavior => "user-behavior", key "member_id, or order_id or cancellation_id without a member", partitions 6:
        "Searches, carts, wish lists, recommendations shown and clicked, orders cancelled",
    ConversationEvents => "conversation-events", key "conversation_id", partitions 6:
        "Conversations opened, renamed and closed",
    ConversationMessageCreated => "conv-msg-created", key "conversation_id", partitions 6:
        "Messages of shopper and assistant",
    PreferenceEvents => "preference-events", key "conversation_id or member_id", partitions 6:
        "Preferences understood from messages; preferences retracted",
    RecommendationEvents => "recommendation-events", key "conversation_id", partitions 6:
        "Ranked recommendations as they were given",
    EmbeddingEvents => "embedding-events", key "product_id", partitions 6:
        "Vectors of products' texts as an embedding model gave them",
    // An outside contract asks for this topic. No event type exists yet: nothing writes or reads it.
    AnalyticsEvents => "analytics-events", key "subject of the finding", partitions 6:
        "Findings of analytics that others react to",
    PurchasePatternAnalyzed => "purchase-pattern-analyzed", key "member_id", partitions 6:
        "A member's purchase pattern, when it changed",
    DeadLetterEvents => "dead-letter-events", key "group/topic/partition/offset", partitions 1:
        "Dead letters requeued and discarded",
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
