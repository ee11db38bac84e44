//! The contract of the pipeline: event types, envelope and topics, and their encoding as Kafka records.
//!
//! An [`Event`] is an [`Envelope`] (`CloudEvents` 1.0) around one [`Data`] variant. Names are past-tense facts. The
//! types here are the source of the JSON Schemas under `schemas/`; this crate does no I/O.

#![warn(missing_docs)]

mod binding;
mod envelope;
mod families;
mod fields;
mod primitives;
mod registry;
pub mod schemas;
mod topic;
mod upcast;

pub use binding::{DecodeError, Encoded, EventParts, Record};
pub use envelope::{Envelope, Event, EventHash, derived_id, event_hash};
pub use families::*;
pub use primitives::{CategoryId, Currency, InvalidValue, MemberId, Money, OrderId, ProductId, Quantity, Text, Vector};
pub use registry::{Data, DataError, EventType, Payload};
pub use topic::Topic;
