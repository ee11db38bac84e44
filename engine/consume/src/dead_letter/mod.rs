//! Dead letters: records that are no events, kept unchanged with their cause and position, and what operators decided
//! about them.

mod decisions;
mod letters;
mod producer;

pub use decisions::{DeadLetterDecision, Decision, Decisions, decisions, discarded};
pub use letters::{DeadLetter, Letters, letters};
pub use producer::DeadLetterProducer;

use jangbogo_log::Partition;

/// Where a record stands: its partition and its offset there.
pub type Position = (Partition, i64);

/// Headers of a dead letter beside the record's own begin with this.
const HEADER_PREFIX: &str = "deadletter-";
const CAUSE: &str = "deadletter-cause";
const GROUP: &str = "deadletter-group";
const TOPIC: &str = "deadletter-topic";
const PARTITION: &str = "deadletter-partition";
const OFFSET: &str = "deadletter-offset";
const APPENDED_AT: &str = "deadletter-appended-at";
