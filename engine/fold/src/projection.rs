//! Projections and the processors that host them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Timelike as _, Utc};
use chrono_tz::Tz;
use jangbogo_events::{Event, Topic};

use super::deltas::Deltas;
use super::table::Table;
use super::view::View;

/// Settings of the fold: rows depend on them, so changing one means a new generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldConfig {
    /// Days and hours are counted in it.
    pub time_zone: Tz,
    /// The embedding model of which a generation has vectors; none where it takes the newest of any. A generation keeps the
    /// one that it began with: what a process is told here counts for generations that it begins.
    pub embedding_model: Option<String>,
}

impl FoldConfig {
    /// The day of a moment in the shop.
    #[must_use]
    pub fn day(&self, time: DateTime<Utc>) -> NaiveDate {
        time.with_timezone(&self.time_zone).date_naive()
    }

    /// The hour of the day, 0 to 23, in the shop.
    #[must_use]
    pub fn hour(&self, time: DateTime<Utc>) -> i64 {
        i64::from(time.with_timezone(&self.time_zone).hour())
    }
}

/// Tables, a fold and views: everything about one question that the log answers.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Unique in its processor.
    pub name: &'static str,
    /// The topics it folds.
    pub reads: &'static [Topic],
    /// Its tables; the most contended last.
    pub tables: &'static [&'static Table],
    /// What an event changes. Pure: no clock, no randomness, no reads.
    pub fold: fn(&Event, &FoldConfig, &mut Deltas),
    /// What is served.
    pub views: &'static [View],
}

/// Raised when the tables that the runtime keeps in every generation change.
const SYSTEM_VERSION: u32 = 2;

/// How soon what was appended is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchPolicy {
    /// At once: somebody waits for it.
    Immediate,
    /// A tenth of a second later at most, together with what has come meanwhile: in fewer and larger batches.
    Linger,
}

impl BatchPolicy {
    /// How long what was appended may lie before it is taken up.
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
    /// Its name, which is its consumer group's too.
    pub name: &'static str,
    /// What it is for, for people.
    pub description: &'static str,
    /// Raised when a fold or a table changes its meaning: rows of another version are never mixed.
    pub fold_version: u32,
    /// How soon its events are taken up.
    pub batch_policy: BatchPolicy,
    /// What it hosts.
    pub projections: &'static [&'static Projection],
}

impl Processor {
    /// The topics it reads, each once, in their order of declaration.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        let reads = |topic: &&Topic| self.projections.iter().any(|projection| projection.reads.contains(topic));
        Topic::ALL.iter().filter(reads).copied().collect()
    }

    /// Every table.
    pub fn tables(&self) -> impl Iterator<Item = &'static Table> {
        self.projections.iter().flat_map(|projection| projection.tables.iter().copied())
    }

    /// Every view.
    pub fn views(&self) -> impl Iterator<Item = &'static View> {
        self.projections.iter().flat_map(|projection| projection.views)
    }

    /// The view of that name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&'static View> {
        self.views().find(|view| view.name == name)
    }

    /// Whether a generation of it holds vectors: then those of one embedding model.
    #[must_use]
    pub fn has_vectors(&self) -> bool {
        self.tables().any(Table::has_vectors)
    }

    /// What its rows depend on besides the log: written beside each generation.
    #[must_use]
    pub fn fold_version(&self, config: &FoldConfig) -> String {
        format!("{}/{}", self.code_version(), config.time_zone.name())
    }

    /// The part of [`Self::fold_version`] that says what the tables look like, whatever the settings of the fold.
    #[must_use]
    pub fn code_version(&self) -> String {
        format!("{}.{SYSTEM_VERSION}", self.fold_version)
    }
}
