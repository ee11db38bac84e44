//! The topics of the log.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! topics {
    ($($variant:ident => $name:literal keyed by $key:literal: $description:literal,)+) => {
        /// A topic of the log. Its name in Kafka is prefixed with the shop's namespace.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Topic {
            $(
                #[doc = concat!($description, " Key: ", $key, ".")]
                #[serde(rename = $name)]
                $variant,
            )+
        }

        impl Topic {
            /// Every topic, in the order of their names' declaration.
            pub const ALL: &'static [Topic] = &[$(Topic::$variant,)+];

            /// The name without a namespace, as `topology.toml` has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Topic::$variant => $name,)+ }
            }

            /// What stands on it, for people.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Topic::$variant => $description,)+ }
            }

            /// What its records are keyed by, for people.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Topic::$variant => $key,)+ }
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
    CatalogEvents => "catalog-events" keyed by "`product_id`":
        "What is for sale: products upserted and retired.",
    OrderCompleted => "order-completed" keyed by "`member_id`, or `order_id` for an anonymous order":
        "Orders the shop completed.",
    ProductViewed => "product-viewed" keyed by "`member_id`, or `product_id` for an anonymous view":
        "Product pages seen.",
    UserBehavior => "user-behavior" keyed by "`member_id`, or an anonymous cancellation's `order_id` or `cancellation_id`":
        "What shoppers did besides: searches, carts, wish lists, recommendations shown and clicked, cancellations.",
    ConversationEvents => "conversation-events" keyed by "`conversation_id`":
        "Conversations opened, renamed, closed.",
    ConversationMessageCreated => "conv-msg-created" keyed by "`conversation_id`":
        "What was said in conversations, by shopper and assistant.",
    PreferenceEvents => "preference-events" keyed by "`conversation_id` of an analysed message, `member_id` of a retraction":
        "What a message was understood to want, and preferences retracted.",
    RecommendationEvents => "recommendation-events" keyed by "`conversation_id`":
        "Ranked recommendations as they were given.",
    EmbeddingEvents => "embedding-events" keyed by "`product_id` or `conversation_id`, whose text it is":
        "Vectors of texts, as an embedding model gave them.",
    AnalyticsEvents => "analytics-events" keyed by "what it is about":
        "What analytics finds and others react to; no event type yet.",
    PurchasePatternAnalyzed => "purchase-pattern-analyzed" keyed by "`member_id`":
        "A member's purchase pattern, when it changed.",
    DeadLetterEvents => "dead-letter-events" keyed by "the dead letter's group/topic/partition/offset":
        "What operators decided about dead letters: requeued and discarded.",
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
