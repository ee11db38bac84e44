//! Dead letters: refused records, kept unchanged with cause and position, and the decisions of operators about them.

mod decisions;
mod producer;
mod reader;

pub use decisions::{Decision, DecisionOutcome, Decisions, decisions, discarded};
pub use producer::DeadLetterProducer;
pub use reader::{DeadLetter, DeadLetters, dead_letters};

use jangbogo_log::Partition;

/// Partition and offset of a record.
pub type Position = (Partition, i64);

/// Prefix of the headers that a dead letter has beside the record's own.
const HEADER_PREFIX: &str = "deadletter-";
const CAUSE: &str = "deadletter-cause";
const GROUP: &str = "deadletter-group";
const TOPIC: &str = "deadletter-topic";
const PARTITION: &str = "deadletter-partition";
const OFFSET: &str = "deadletter-offset";
const APPENDED_AT: &str = "deadletter-appended-at";
