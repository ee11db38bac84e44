//! The `CloudEvents` envelope.

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::Uuid;

use crate::registry::{Data, Payload};

/// The namespace of every id and hash that is derived rather than drawn.
const NAMESPACE: Uuid = Uuid::from_u128(0x6a61_6e67_626f_5067_8f6f_6576_656e_7473);

/// 128 bits that stand for one event: a hash of its source and id. Equal for every occurrence of the event.
pub type EventHash = u128;

/// The context attributes of an event (`CloudEvents` 1.0 and its extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Unique within `source`; the first occurrence counts, later ones change nothing. 1 to 128 bytes.
    pub id: String,
    /// Who says so, such as `gateway` or `import/online-retail-ii`. 1 to 128 bytes.
    pub source: String,
    /// When it happened, by the shop's clock. Microseconds.
    pub time: DateTime<Utc>,
    /// The event that caused this one.
    pub causation_id: Option<String>,
    /// The conversation, request or import this belongs to.
    pub correlation_id: Option<String>,
    /// W3C trace context of the producer.
    pub traceparent: Option<String>,
    /// Reserved: the key that personal text in this event is encrypted with.
    pub subject_key_id: Option<String>,
}

impl Envelope {
    /// An envelope with the four attributes every event has; the rest are empty.
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

    /// What stands for this event in `seen` sets and stamps.
    #[must_use]
    pub fn hash(&self) -> EventHash {
        event_hash(&self.source, &self.id)
    }
}

/// One fact of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who says it, when, and what caused it.
    pub envelope: Envelope,
    /// What happened.
    pub data: Data,
}

impl Event {
    /// Puts a payload into an envelope.
    pub fn new<P: Payload>(envelope: Envelope, payload: P) -> Self {
        Self { envelope, data: payload.into() }
    }
}

/// Hashes source and id of an event. Stable for ever: rows hold it.
#[must_use]
pub fn event_hash(source: &str, id: &str) -> EventHash {
    derived_id(&[source, id]).as_u128()
}

/// A `UUIDv5` derived from the given parts: the same parts give the same id, on every machine and at any time.
#[must_use]
pub fn derived_id(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes())
}
