//! The `CloudEvents` envelope.

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::Uuid;

use crate::registry::{Data, Payload};

/// `UUIDv5` namespace of derived ids and hashes.
const NAMESPACE: Uuid = Uuid::from_u128(0x6a61_6e67_626f_5067_8f6f_6576_656e_7473);

/// 128-bit hash of an event's source and id. Equal for every occurrence of the event.
pub type EventHash = u128;

/// The context attributes of an event (`CloudEvents` 1.0 and its extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Unique within `source`. Consumers are idempotent: the first occurrence counts, duplicates are ignored. 1 to 128
    /// bytes.
    pub id: String,
    /// Producer of the event, such as `gateway` or `import/online-retail-ii`. 1 to 128 bytes.
    pub source: String,
    /// Time of the occurrence by the shop's clock, in microseconds.
    pub time: DateTime<Utc>,
    /// Id of the event that caused this one.
    pub causation_id: Option<String>,
    /// Id of the conversation, request or import that the event belongs to.
    pub correlation_id: Option<String>,
    /// W3C trace context of the producer.
    pub traceparent: Option<String>,
    /// Reserved: id of the key that encrypts personal text of this event.
    pub subject_key_id: Option<String>,
}

impl Envelope {
    /// Creates an envelope without optional attributes. The time is truncated to microseconds.
    #[must_use]
    pub fn new(id: impl Into<String>, source: impl Into<String>, time: DateTime<Utc>) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            time: time.trunc_subsecs(6),
            causation_id: None,
            correlation_id: None,
            traceparent: None,
            subject_key_id: None,
        }
    }

    /// The event's hash, as `seen` tables and stamps hold it.
    #[must_use]
    pub fn hash(&self) -> EventHash {
        event_hash(&self.source, &self.id)
    }
}

/// A fact of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Source, time and cause of the event.
    pub envelope: Envelope,
    /// Payload of the event's type.
    pub data: Data,
}

impl Event {
    /// Puts a payload into an envelope.
    pub fn new<P: Payload>(envelope: Envelope, payload: P) -> Self {
        Self { envelope, data: payload.into() }
    }
}

/// Hashes source and id of an event. The result must never change: rows hold it.
#[must_use]
pub fn event_hash(source: &str, id: &str) -> EventHash {
    derived_id(&[source, id]).as_u128()
}

/// A `UUIDv5` derived from the given parts: the same parts give the same id, on every machine and at any time.
#[must_use]
pub fn derived_id(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes())
}
