//! Registry of event types: name, version and topic.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

#[allow(clippy::wildcard_imports, reason = "the registry below names every one of them")]
use crate::families::*;
use crate::topic::Topic;

/// A JSON value that does not fit its event type.
#[derive(Debug, thiserror::Error)]
#[error("{place} does not fit")]
pub struct DataError {
    /// A path such as `items[3].quantity`, or `the value` for the whole.
    pub place: String,
    /// The rule that was broken.
    #[source]
    pub source: serde_json::Error,
}

/// The data of one event type.
pub trait Payload: Serialize + DeserializeOwned + JsonSchema + Into<Data> {
    /// Event type of the payload.
    const TYPE: EventType;

    /// Partition key: events that must stay in order share it.
    fn key(&self) -> Cow<'_, str>;

    /// One realistic example, written to `schemas/`.
    fn example() -> Self;
}

/// serde also reads a struct from an array of its fields, which no schema allows.
fn is_object(value: &[u8]) -> bool {
    value.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Reads without paths; only an invalid value is read again, to find the path of its error.
fn read<P: Payload>(value: &[u8]) -> Result<Data, DataError> {
    if !is_object(value) {
        let source = serde_json::Error::custom("it must be a JSON object");
        return Err(DataError { place: "the value".to_owned(), source });
    }
    let source = match serde_json::from_slice::<P>(value) {
        Ok(payload) => return Ok(payload.into()),
        Err(source) => source,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(value);
    let place = match serde_path_to_error::deserialize::<_, P>(&mut deserializer) {
        Err(error) if error.path().iter().len() > 0 => error.path().to_string(),
        _ => "the value".to_owned(),
    };
    Err(DataError { place, source })
}

macro_rules! registry {
    ($($payload:ident => $name:literal v $version:literal on $topic:ident,)+) => {
        /// Type of an event: its name, version and topic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType {
            $(
                #[doc = concat!("`", $name, "`: [`", stringify!($payload), "`](crate::", stringify!($payload), ").")]
                $payload,
            )+
        }

        impl EventType {
            /// All event types, in the order of their declaration.
            pub const ALL: &'static [EventType] = &[$(EventType::$payload,)+];

            /// Its name in `ce_type`: a past-tense fact.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(EventType::$payload => $name,)+ }
            }

            /// The type of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<EventType> {
                match name { $($name => Some(EventType::$payload),)+ _ => None }
            }

            /// The newest version of the data, which is the one written.
            #[must_use]
            pub const fn version(self) -> u32 {
                match self { $(EventType::$payload => $version,)+ }
            }

            /// The one topic of its events.
            #[must_use]
            pub const fn topic(self) -> Topic {
                match self { $(EventType::$payload => Topic::$topic,)+ }
            }

            /// The newest version's JSON Schema.
            #[must_use]
            pub fn schema(self, generator: SchemaGenerator) -> Schema {
                match self { $(EventType::$payload => generator.into_root_schema_for::<$payload>(),)+ }
            }

            /// Reference to the newest version's JSON Schema among a generator's definitions.
            pub fn subschema(self, generator: &mut SchemaGenerator) -> Schema {
                match self { $(EventType::$payload => generator.subschema_for::<$payload>(),)+ }
            }

            /// The newest version's example.
            #[must_use]
            pub fn example(self) -> Data {
                match self { $(EventType::$payload => Data::$payload($payload::example()),)+ }
            }
        }

        /// Payload of an event: one variant for each event type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data {
            $(
                #[doc = concat!("`", $name, "`")]
                $payload($payload),
            )+
        }

        impl Data {
            /// Event type of the payload.
            #[must_use]
            pub const fn event_type(&self) -> EventType {
                match self { $(Data::$payload(_) => EventType::$payload,)+ }
            }

            /// Partition key of the event.
            #[must_use]
            pub fn key(&self) -> Cow<'_, str> {
                match self { $(Data::$payload(data) => data.key(),)+ }
            }

            /// Reads the newest version's data.
            ///
            /// # Errors
            /// When the value is not JSON, or does not fit the type's schema.
            pub fn from_json(event_type: EventType, value: &[u8]) -> Result<Data, DataError> {
                match event_type { $(EventType::$payload => read::<$payload>(value),)+ }
            }

            /// The data as JSON.
            ///
            /// # Errors
            /// When a number is not finite.
            pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
                match self { $(Data::$payload(data) => serde_json::to_vec(data),)+ }
            }
        }

        $(
            impl From<$payload> for Data {
                fn from(data: $payload) -> Self {
                    Data::$payload(data)
                }
            }
        )+
    };
}

registry! {
    ProductUpserted => "product-upserted" v 2 on CatalogEvents,
    ProductRetired => "product-retired" v 1 on CatalogEvents,
    OrderCompleted => "order-completed" v 1 on OrderCompleted,
    ProductViewed => "product-viewed" v 1 on ProductViewed,
    OrderCancelled => "order-cancelled" v 1 on UserBehavior,
    ProductSearched => "product-searched" v 1 on UserBehavior,
    CartItemAdded => "cart-item-added" v 1 on UserBehavior,
    CartItemRemoved => "cart-item-removed" v 1 on UserBehavior,
    WishlistItemAdded => "wishlist-item-added" v 1 on UserBehavior,
    WishlistItemRemoved => "wishlist-item-removed" v 1 on UserBehavior,
    RecommendationShown => "recommendation-shown" v 1 on UserBehavior,
    RecommendationClicked => "recommendation-clicked" v 1 on UserBehavior,
    ConversationCreated => "conversation-created" v 1 on ConversationEvents,
    ConversationRenamed => "conversation-renamed" v 1 on ConversationEvents,
    ConversationClosed => "conversation-closed" v 1 on ConversationEvents,
    MessageCreated => "message-created" v 1 on ConversationMessageCreated,
    IntentAnalyzed => "intent-analyzed" v 1 on PreferenceEvents,
    PreferenceRetracted => "preference-retracted" v 1 on PreferenceEvents,
    RecommendationGenerated => "recommendation-generated" v 1 on RecommendationEvents,
    ProductEmbedded => "product-embedded" v 1 on EmbeddingEvents,
    DeadLetterRequeued => "dead-letter-requeued" v 1 on DeadLetterEvents,
    DeadLetterDiscarded => "dead-letter-discarded" v 1 on DeadLetterEvents,
    PurchasePatternAnalyzed => "purchase-pattern-analyzed" v 1 on PurchasePatternAnalyzed,
}
