//! A partition of a topic, and offsets by partition.

use std::collections::BTreeMap;
use std::fmt;

use jangbogo_events::Topic;

/// The next offset to read or fold, by partition.
pub type Offsets = BTreeMap<Partition, i64>;

/// A partition of one of the pipeline's topics. Displays as `order-completed/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    pub topic: Topic,
    pub number: i32,
}

impl Partition {
    /// Parses what [`Partition`] displays as.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, number) = text.rsplit_once('/')?;
        Some(Self { topic: Topic::from_name(topic)?, number: number.parse().ok()? })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.number)
    }
}
