//! The reactor loop: serial for each key, parallel across keys, and never blocking the consumer group.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use jangbogo_consume::source::{Command, Input, Source};
use jangbogo_events::{Data, Event, EventHash, InvalidValue};
use jangbogo_log::{Partition, Record};
use jangbogo_resilience::retry::Backoff;
use jangbogo_telemetry::{CheckHandle, causes};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::offset_tracker::OffsetTracker;
use super::outputs::{Outputs, events_of, output_id};
use super::snapshot::{Snapshot, SnapshotSource};
use super::{Failure, Reactor, ReactorMetrics};

/// Time for effects in progress to finish after the reactor is stopped.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Interval and maximum number of checks whether the output of the key's previous input is folded: one that became a
/// dead letter never is.
const FOLD_CHECK_INTERVAL: Duration = Duration::from_millis(5);
const MAX_FOLD_CHECKS: u32 = 1000;
/// Maximum number of keys whose newest output is remembered.
const REMEMBERED_OUTPUTS: usize = 50_000;

/// Shared by all workers of a reactor.
#[derive(Clone)]
pub struct ReactorContext {
    pub reactor: Arc<dyn Reactor>,
    pub snapshots: SnapshotSource,
    pub outputs: Outputs,
    pub metrics: ReactorMetrics,
    /// Readiness of the effects.
    pub check: CheckHandle,
}

struct Pending {
    partition: Partition,
    offset: i64,
    bytes: usize,
    key: String,
    effect: String,
    event: Event,
}

/// An input whose effect is in progress.
struct InProgress {
    partition: Partition,
    offset: i64,
    bytes: usize,
    key: String,
}

/// One consumer of the reactor's group.
struct Worker {
    context: ReactorContext,
    source: Source,
    partitions: BTreeMap<Partition, OffsetTracker>,
    /// Queues of inputs by key. A key with an effect in progress is here too.
    waiting: HashMap<String, VecDeque<Pending>>,
    /// Keys with queued inputs and no effect in progress, in order of arrival.
    ready: VecDeque<String>,
    /// Newest output of each key, which may not be folded yet.
    newest_outputs: HashMap<String, EventHash>,
    effects: JoinSet<Option<EventHash>>,
    in_progress: HashMap<Id, InProgress>,
}

/// Processes inputs until it is stopped.
///
/// # Errors
/// When the consumer fails.
pub async fn work(context: ReactorContext, source: Source, stop: CancellationToken) -> KafkaResult<()> {
    let mut worker = Worker {
        context,
        source,
        partitions: BTreeMap::new(),
        waiting: HashMap::new(),
        ready: VecDeque::new(),
        newest_outputs: HashMap::new(),
        effects: JoinSet::new(),
        in_progress: HashMap::new(),
    };
    let outcome = worker.react_until_stopped(&stop).await;
    let _ = tokio::time::timeout(STOP_GRACE, worker.finish()).await;
    worker.source.close().await;
    outcome
}

impl Worker {
    async fn react_until_stopped(&mut self, stop: &CancellationToken) -> KafkaResult<()> {
        loop {
            self.start_effects();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.effects.join_next_with_id(), if !self.effects.is_empty() => self.effect_ended(ended),
                // The source outlives its worker.
                input = self.source.next() => self.handle(input.unwrap_or(Input::Failed(KafkaError::Canceled)))?,
            }
        }
    }

    /// Waits for the effects in progress.
    async fn finish(&mut self) {
        while let Some(ended) = self.effects.join_next_with_id().await {
            self.effect_ended(ended);
        }
    }

    fn handle(&mut self, input: Input) -> KafkaResult<()> {
        match input {
            // From the group's committed offset: checkpoints belong to the fold's workers.
            Input::Assigned(partitions) => self.source.send(Command::StartAtCommitted(partitions)),
            Input::Started(partitions) => {
                self.partitions.extend(partitions.into_iter().map(|partition| (partition, OffsetTracker::default())));
            }
            Input::Records(records) => records.into_iter().for_each(|record| self.queue(record)),
            Input::Revoked(partitions) => {
                self.release(&partitions);
                self.source.send(Command::Release(partitions));
            }
            Input::Retained(_) => {}
            Input::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Queues a record under its key. A refused record is skipped: its processor keeps it as a dead letter.
    fn queue(&mut self, record: Record) {
        let Record { partition, offset, bytes, outcome, .. } = record;
        let Some(tracker) = self.partitions.get_mut(&partition) else { return self.source.consumed(bytes) };
        tracker.begin(offset);
        let selected = outcome.ok().and_then(|event| {
            let effect = self.context.reactor.effect(&event)?.into_owned();
            Some((event, effect))
        });
        let Some((event, effect)) = selected else { return self.done(partition, offset, bytes) };
        let key = event.data.key().into_owned();
        let pending = Pending { partition, offset, bytes, key: key.clone(), effect, event };
        let queue = self.waiting.entry(key.clone()).or_insert_with(|| {
            self.ready.push_back(key);
            VecDeque::new()
        });
        queue.push_back(pending);
    }

    fn start_effects(&mut self) {
        while self.effects.len() < self.context.reactor.spec().parallel {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(queue) = self.waiting.get_mut(&key) else { continue };
            let keep = if self.context.reactor.spec().newest_only { 1 } else { queue.len() };
            let superseded: Vec<Pending> = queue.drain(..queue.len().saturating_sub(keep)).collect();
            let next = queue.pop_front();
            for Pending { partition, offset, bytes, .. } in superseded {
                self.context.metrics.reactor_inputs_total.with_label_values(&["superseded"]).inc();
                self.done(partition, offset, bytes);
            }
            let Some(Pending { partition, offset, bytes, key, effect, event }) = next else {
                self.waiting.remove(&key);
                continue;
            };
            let context = self.context.clone();
            let input = Work { partition, offset, effect, event, after: self.newest_outputs.get(&key).copied() };
            let task = self.effects.spawn(async move { react(&context, &input).await });
            self.in_progress.insert(task.id(), InProgress { partition, offset, bytes, key });
            self.context.metrics.reactor_in_flight.set(self.effects.len().try_into().unwrap_or(i64::MAX));
        }
    }

    fn effect_ended(&mut self, ended: Result<(Id, Option<EventHash>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        self.context.metrics.reactor_in_flight.set(self.effects.len().try_into().unwrap_or(i64::MAX));
        // Absent if the partition was revoked: its new owner processes the input.
        let Some(InProgress { partition, offset, bytes, key }) = self.in_progress.remove(&id) else { return };
        match ended {
            Ok((_, Some(output))) => {
                if self.newest_outputs.len() >= REMEMBERED_OUTPUTS {
                    self.newest_outputs.clear();
                }
                self.newest_outputs.insert(key.clone(), output);
            }
            Ok((_, None)) => {}
            Err(panic) => {
                error!(%partition, offset, error = %causes(&panic), "effect panicked; input skipped");
                self.context.metrics.reactor_inputs_total.with_label_values(&["panicked"]).inc();
            }
        }
        self.done(partition, offset, bytes);
        self.ready_next(key);
    }

    /// Makes a key without an effect in progress ready for its next input.
    fn ready_next(&mut self, key: String) {
        match self.waiting.get(&key) {
            Some(queue) if !queue.is_empty() => self.ready.push_back(key),
            _ => drop(self.waiting.remove(&key)),
        }
    }

    fn done(&mut self, partition: Partition, offset: i64, bytes: usize) {
        self.source.consumed(bytes);
        let advanced = self.partitions.get_mut(&partition).and_then(|tracker| tracker.done(offset));
        if let Some(next_offset) = advanced {
            self.source.send(Command::Folded(vec![(partition, next_offset)]));
        }
    }

    /// Drops the inputs of revoked partitions. Their new owner begins at the committed offset and repeats what is not
    /// done, under the same output ids; so an effect in progress may finish here too.
    fn release(&mut self, partitions: &[Partition]) {
        let mut released = Vec::new();
        for queue in self.waiting.values_mut() {
            queue.retain(|pending| {
                let stays = !partitions.contains(&pending.partition);
                if !stays {
                    released.push(pending.bytes);
                }
                stays
            });
        }
        let revoked_id = |(id, input): (&Id, &InProgress)| partitions.contains(&input.partition).then_some(*id);
        let dropped: Vec<Id> = self.in_progress.iter().filter_map(revoked_id).collect();
        for id in dropped {
            if let Some(InProgress { bytes, key, .. }) = self.in_progress.remove(&id) {
                released.push(bytes);
                self.ready_next(key);
            }
        }
        self.source.consumed(released.iter().sum());
        for partition in partitions {
            self.partitions.remove(partition);
        }
        info!(reactor = self.context.reactor.group(), ?partitions, "revoked");
    }
}

/// An input, and the event that must be folded before its effect.
struct Work {
    partition: Partition,
    offset: i64,
    effect: String,
    event: Event,
    /// Newest output of the key's previous input.
    after: Option<EventHash>,
}

/// Runs an effect and produces its outputs, with retries. Returns the first output's hash.
async fn react(context: &ReactorContext, input: &Work) -> Option<EventHash> {
    let began = Instant::now();
    let mut backoff = Backoff::default();
    let (outcome, output) = loop {
        match try_react(context, input).await {
            Ok(outcome) => break outcome,
            Err(failure) => {
                let error = causes(failure.as_ref()).to_string();
                debug!(partition = %input.partition, input.offset, error, "effect failed; retrying");
                context.check.failing(error);
                context.metrics.reactor_retries_total.inc();
            }
        }
        backoff.wait().await;
    };
    context.check.ok();
    context.metrics.reactor_inputs_total.with_label_values(&[outcome]).inc();
    context.metrics.reactor_seconds.observe(began.elapsed().as_secs_f64());
    output
}

async fn try_react(context: &ReactorContext, input: &Work) -> Result<(&'static str, Option<EventHash>), Failure> {
    let Work { partition, offset, effect, event, after } = input;
    let reactor = context.reactor.spec().full_name();
    let mut snapshot = context.snapshots.past(*partition, *offset).await?;
    if let Some(after) = after {
        // An input such as "cheaper" refers to the outcome of the message before.
        let mut checks = 0..MAX_FOLD_CHECKS;
        while !snapshot.contains(*after).await? && checks.next().is_some() {
            drop(snapshot);
            tokio::time::sleep(FOLD_CHECK_INTERVAL).await;
            snapshot = context.snapshots.past(*partition, *offset).await?;
        }
    }
    let first = jangbogo_events::event_hash(&reactor, &output_id(&reactor, effect, &event.envelope, 0));
    if snapshot.contains(first).await? {
        return Ok(("folded", None));
    }
    let (outcome, outputs) = match run_effect(context, event, snapshot).await? {
        Ok(outputs) => ("reacted", outputs),
        Err(cause) => {
            error!(%partition, offset, cause, "effect cannot succeed; fallback recorded");
            let position = context.snapshots.past(*partition, *offset).await?.close();
            ("fallback", context.reactor.fallback(event, &position))
        }
    };
    let outputs = events_of(&reactor, effect, &event.envelope, outputs);
    context.outputs.produce(&outputs).await;
    Ok((outcome, outputs.first().map(|output| output.envelope.hash())))
}

/// Runs an effect once. Returns its outputs, or the cause why it can never succeed.
async fn run_effect(
    context: &ReactorContext,
    event: &Event,
    snapshot: Snapshot,
) -> Result<Result<Vec<Data>, String>, Failure> {
    // Unwind safe: no state of an effect is kept after it.
    match AssertUnwindSafe(context.reactor.react(event, snapshot)).catch_unwind().await {
        Ok(Ok(outputs)) => Ok(Ok(outputs)),
        Ok(Err(failure)) if failure.is::<InvalidValue>() => Ok(Err(causes(failure.as_ref()).to_string())),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Ok(Err("effect panicked".to_owned())),
    }
}
