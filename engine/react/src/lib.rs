//! Reactors: an event in, an effect (a model, a ranking), and the events that record its result.
//!
//! A reactor has a consumer group of its own and keeps its place as that group's committed offset. It starts on an input
//! only when its processor's live generation has folded it, reads that generation in one snapshot, and skips the effect
//! when the result is folded already. Outputs are named after their input, so that an effect that was repeated after a
//! crash changes nothing: the first occurrence of an id counts.

mod offset_tracker;
mod outputs;
mod snapshot;
mod work;

use std::borrow::Cow;

use futures::future::BoxFuture;
use jangbogo_events::{Data, Event, Topic};
use jangbogo_fold::BatchPolicy;

pub use self::outputs::Outputs;
pub use self::snapshot::SnapshotSource;
pub use self::snapshot::{Snapshot, SnapshotPosition};
pub use self::work::{ReactorContext, work};

/// What a reactor is called, reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactorSpec {
    /// The processor that hosts it, whose generation it reads.
    pub processor: &'static str,
    /// Unique in the processor.
    pub name: &'static str,
    /// What it does, for people.
    pub description: &'static str,
    /// Where its inputs position; the processor folds these topics too.
    pub reads: &'static [Topic],
    /// Where its outputs position; the processor folds these topics too.
    pub emits: &'static [Topic],
    /// Effects at one time.
    pub parallel: usize,
    /// How soon an input is taken up.
    pub batch_policy: BatchPolicy,
    /// Of several inputs of one key that wait, only the newest matters: the effect says how things are, not what happened.
    pub newest_only: bool,
}

impl ReactorSpec {
    /// The source of its events: `preference-analysis.intent`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.processor, self.name)
    }
}

/// Why an effect could not be done now. A server is away: it is tried again for ever. An [`jangbogo_events::InvalidValue`] says that
/// it never can be done, since its output would break the contract: the reactor's fallback stands in its place.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An effect, and what it answers to.
pub trait Reactor: Send + Sync + 'static {
    /// Its name and topics.
    fn spec(&self) -> &'static ReactorSpec;

    /// Its consumer group and its name in metrics. A reactor whose effects depend on a setting has one for each value of it:
    /// under a new one it begins with the log.
    fn group(&self) -> String {
        self.spec().full_name()
    }

    /// Names the effect that an event calls for; none for an event that is none of its business. Outputs of one effect
    /// on one input have the same ids for ever: the name is the model's for an embedder, and constant for an effect whose
    /// fallback must not answer a second time.
    fn effect(&self, event: &Event) -> Option<Cow<'_, str>>;

    /// Does it. The outputs' order matters, since their ids count them; their keys are a function of the input.
    fn react<'a>(&'a self, event: &'a Event, snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>>;

    /// What is recorded where the effect panicked or can never be done, so that whoever waits for its outputs goes on.
    /// Needs no server, and cannot fail.
    fn fallback(&self, event: &Event, position: &SnapshotPosition) -> Vec<Data>;
}

jangbogo_telemetry::metrics! {
    /// What one reactor counts. Every metric carries the label `reactor`.
    pub struct ReactorMetrics {
        /// Events of the partition that are not reacted to yet
        reactor_lag_events: prometheus::IntGaugeVec, labels ["topic", "partition"];
        /// Times that the group gave partitions or took them back
        reactor_rebalances_total: prometheus::IntCounter;
        /// Inputs by what became of them: reacted, fallback (it cannot be done), folded already, superseded or panicked
        reactor_inputs_total: prometheus::IntCounterVec, labels ["outcome"];
        /// Events produced
        reactor_outputs_total: prometheus::IntCounter;
        /// Time from taking up an input to its outputs' acknowledgement, in seconds
        reactor_seconds: prometheus::Histogram, buckets jangbogo_telemetry::SECONDS_BUCKETS;
        /// Inputs that are being worked on
        reactor_in_flight: prometheus::IntGauge;
        /// Attempts repeated because a server was away or refused
        reactor_retries_total: prometheus::IntCounter;
    }
}
