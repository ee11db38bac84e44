//! A record of the log, decoded to an event or refused.

use chrono::{DateTime, Utc};
use jangbogo_events::Event;

use crate::Partition;

/// A record of the log with its decoding outcome.
#[derive(Debug)]
pub struct Record {
    pub partition: Partition,
    pub offset: i64,
    /// Time of the record's first append to a log: see [`append_time`](crate::append_time).
    pub appended_at: DateTime<Utc>,
    /// Size in memory, in bytes, by which queues are bounded.
    pub bytes: usize,
    /// The event, or the raw record with the reason why it is not one.
    pub outcome: Result<Event, Box<Refused>>,
}

impl Record {
    /// Event time; none for a refused record.
    #[must_use]
    pub fn event_time(&self) -> Option<DateTime<Utc>> {
        self.outcome.as_ref().ok().map(|event| event.envelope.time)
    }
}

/// A record that does not decode to an event: its raw key, value and headers.
#[derive(Debug)]
pub struct Refused {
    pub cause: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// True if the dead-letter topic already contains it.
    pub kept: bool,
}
