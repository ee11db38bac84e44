//! Projections, and the processors that host them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Timelike as _, Utc};
use chrono_tz::Tz;
use jangbogo_events::{Event, Topic};

use super::deltas::Deltas;
use super::table::Table;
use super::view::View;

/// Fold configuration. Rows depend on it: a change needs a new generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldConfig {
    /// Time zone of days and hours.
    pub time_zone: Tz,
    /// Embedding model of a generation's vectors; none if it takes the newest of any. A generation keeps its own: this
    /// is the model of generations that the process creates.
    pub embedding_model: Option<String>,
}

impl FoldConfig {
    /// The day of a time, in the shop's time zone.
    #[must_use]
    pub fn day(&self, time: DateTime<Utc>) -> NaiveDate {
        time.with_timezone(&self.time_zone).date_naive()
    }

    /// The hour of the day of a time, 0 to 23, in the shop's time zone.
    #[must_use]
    pub fn hour(&self, time: DateTime<Utc>) -> i64 {
        i64::from(time.with_timezone(&self.time_zone).hour())
    }
}

/// A read model of the log: tables, the fold that fills them, and views over them.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Name, unique in its processor.
    pub name: &'static str,
    /// Topics that it folds.
    pub reads: &'static [Topic],
    /// Tables that it fills, the most contended last.
    pub tables: &'static [&'static Table],
    /// Adds an event's changes to the deltas. Pure: no clock, no randomness, no reads.
    pub fold: fn(&Event, &FoldConfig, &mut Deltas),
    /// Views that are served and published.
    pub views: &'static [View],
}

/// Raised when the engine's own tables in every generation change.
const SYSTEM_VERSION: u32 = 2;

/// Time at which appended records are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchPolicy {
    /// Without delay: a user is waiting.
    Immediate,
    /// After at most 100 ms, in fewer and larger batches.
    Linger,
}

impl BatchPolicy {
    /// Longest wait for further records of a batch.
    #[must_use]
    pub const fn linger(self) -> Duration {
        match self {
            Self::Immediate => Duration::ZERO,
            Self::Linger => Duration::from_millis(100),
        }
    }
}

/// A program that folds topics into one set of tables, with one consumer group and one checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Name of the processor and of its consumer group.
    pub name: &'static str,
    /// Raised when a fold or a table changes its meaning: rows of different versions are never mixed.
    pub fold_version: u32,
    /// Time at which its records are processed.
    pub batch_policy: BatchPolicy,
    /// Projections that it hosts.
    pub projections: &'static [&'static Projection],
}

impl Processor {
    /// Topics of all projections, each once, in their order of declaration.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        let reads = |topic: &&Topic| self.projections.iter().any(|projection| projection.reads.contains(topic));
        Topic::ALL.iter().filter(reads).copied().collect()
    }

    /// Tables of all projections.
    pub fn tables(&self) -> impl Iterator<Item = &'static Table> {
        self.projections.iter().flat_map(|projection| projection.tables.iter().copied())
    }

    /// Views of all projections.
    pub fn views(&self) -> impl Iterator<Item = &'static View> {
        self.projections.iter().flat_map(|projection| projection.views)
    }

    /// The view of that name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&'static View> {
        self.views().find(|view| view.name == name)
    }

    /// True if its generations hold vectors, of one embedding model each.
    #[must_use]
    pub fn has_vectors(&self) -> bool {
        self.tables().any(Table::has_vectors)
    }

    /// Version of the code and settings that its rows depend on, stored with each generation.
    #[must_use]
    pub fn fold_version(&self, config: &FoldConfig) -> String {
        format!("{}/{}", self.code_version(), config.time_zone.name())
    }

    /// The part of [`Self::fold_version`] that depends on the code alone.
    #[must_use]
    pub fn code_version(&self) -> String {
        format!("{}.{SYSTEM_VERSION}", self.fold_version)
    }
}
