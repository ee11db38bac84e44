//! Reactors: side effects of events (a model call, a ranking), recorded as further events.
//!
//! A reactor has a consumer group of its own, whose committed offset is its position. It processes an input only when
//! its processor's live generation has folded it, reads that generation in one snapshot, and skips the effect if the
//! result is already folded. Ids of outputs derive from the input, which makes the at-least-once effect idempotent.

mod offset_tracker;
mod outputs;
mod snapshot;
mod work;

use std::borrow::Cow;

use futures::future::BoxFuture;
use jangbogo_events::{Data, Event, Topic};
use jangbogo_fold::BatchPolicy;

pub use self::outputs::Outputs;
pub use self::snapshot::{Snapshot, SnapshotPosition, SnapshotSource};
pub use self::work::{ReactorContext, work};

/// Name, topics and limits of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactorSpec {
    /// Processor that hosts it and whose generation it reads.
    pub processor: &'static str,
    /// Name, unique in the processor.
    pub name: &'static str,
    /// Topics of its inputs, which the processor folds too.
    pub reads: &'static [Topic],
    /// Topics of its outputs, which the processor folds too.
    pub emits: &'static [Topic],
    /// Maximum number of concurrent effects of a worker.
    pub parallel: usize,
    pub batch_policy: BatchPolicy,
    /// True if of a key's queued inputs only the newest is processed: the effect depends on the current state alone.
    pub newest_only: bool,
}

impl ReactorSpec {
    /// Source of its events and default name of its group: `preference-analysis.intent`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.processor, self.name)
    }
}

/// Failure of an effect. It is retried without end, as for an unavailable server, unless it is an
/// [`InvalidValue`](jangbogo_events::InvalidValue): the output would break the contract, and the fallback is recorded.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A reactor: selects events, and runs an effect for each.
pub trait Reactor: Send + Sync + 'static {
    fn spec(&self) -> &'static ReactorSpec;

    /// Consumer group, and name in metrics. A reactor whose effects depend on a setting has a group for each value of
    /// it: a new group begins at the start of the log.
    fn group(&self) -> String {
        self.spec().full_name()
    }

    /// Name of the effect of an event; none if the event is ignored. The ids of outputs derive from name and input: the
    /// name is the model's for an embedder, and constant for an effect that must not be answered twice.
    fn effect(&self, event: &Event) -> Option<Cow<'_, str>>;

    /// Runs the effect. The order of outputs matters, since their ids contain the ordinal; their keys are a function of
    /// the input.
    ///
    /// # Errors
    /// See [`Failure`].
    fn react<'a>(&'a self, event: &'a Event, snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>>;

    /// Outputs that are recorded if the effect panics or can never succeed, so that consumers of its outputs proceed.
    /// Must not need a server.
    fn fallback(&self, event: &Event, position: &SnapshotPosition) -> Vec<Data>;
}

jangbogo_telemetry::metrics! {
    /// Metrics of one reactor. Every metric has the label `reactor`.
    pub struct ReactorMetrics {
        /// Consumer lag: events of the partition that are not processed yet
        reactor_lag_events: prometheus::IntGaugeVec, labels ["topic", "partition"];
        /// Rebalances: partitions assigned or revoked by the consumer group
        reactor_rebalances_total: prometheus::IntCounter;
        /// Inputs by outcome: reacted, fallback (the effect can never succeed), folded already, superseded or panicked
        reactor_inputs_total: prometheus::IntCounterVec, labels ["outcome"];
        /// Events produced
        reactor_outputs_total: prometheus::IntCounter;
        /// Time from the start of an effect to the acknowledgement of its outputs, in seconds
        reactor_seconds: prometheus::Histogram, buckets jangbogo_telemetry::SECONDS_BUCKETS;
        /// Effects in progress
        reactor_in_flight: prometheus::IntGauge;
        /// Retries because a server was unavailable or rejected the request
        reactor_retries_total: prometheus::IntCounter;
    }
}
