//! The reactor loop: serial for each key, parallel across keys, and never in the way of the group.

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

/// How long effects that were begun may still take when the process should end.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long an input waits for the fold of what came of its key's input before: an output that is a dead letter is never
/// folded.
const FOLDING_PAUSE: Duration = Duration::from_millis(5);
const FOLDING_TRIES: u32 = 1000;
/// So many keys' newest outputs are remembered.
const REMEMBERED_OUTPUTS: usize = 50_000;

/// What every worker of a reactor shares.
#[derive(Clone)]
pub struct ReactorContext {
    pub reactor: Arc<dyn Reactor>,
    pub snapshots: SnapshotSource,
    pub outputs: Outputs,
    pub metrics: ReactorMetrics,
    /// Readiness: whether effects go well.
    pub check: CheckHandle,
}

/// An input that waits or is worked on.
struct Pending {
    partition: Partition,
    offset: i64,
    bytes: usize,
    key: String,
    effect: String,
    event: Event,
}

/// The part of an input that outlives its effect.
struct UnderWay {
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
    /// Inputs that wait for an earlier one of their key, or for their turn. A key that is worked on is here too.
    waiting: HashMap<String, VecDeque<Pending>>,
    /// Keys with inputs of which none is worked on, in the order in which they came.
    ready: VecDeque<String>,
    /// The newest output of each key that may not be folded yet.
    newest_outputs: HashMap<String, EventHash>,
    effects: JoinSet<Option<EventHash>>,
    under_way: HashMap<Id, UnderWay>,
}

/// Reacts until it is asked to stop.
///
/// # Errors
/// When the consumer cannot go on.
pub async fn work(context: ReactorContext, source: Source, stop: CancellationToken) -> KafkaResult<()> {
    let mut worker = Worker {
        context,
        source,
        partitions: BTreeMap::new(),
        waiting: HashMap::new(),
        ready: VecDeque::new(),
        newest_outputs: HashMap::new(),
        effects: JoinSet::new(),
        under_way: HashMap::new(),
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
                Some(ended) = self.effects.join_next_with_id(), if !self.effects.is_empty() => self.ended(ended),
                // The source ends only after its worker.
                input = self.source.next() => self.take(input.unwrap_or(Input::Failed(KafkaError::Canceled)))?,
            }
        }
    }

    /// Waits for the effects that were begun.
    async fn finish(&mut self) {
        while let Some(ended) = self.effects.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn take(&mut self, input: Input) -> KafkaResult<()> {
        match input {
            // Where the group's committed offset is; the processor's checkpoints are its workers' business.
            Input::Assigned(partitions) => self.source.send(Command::StartAtCommitted(partitions)),
            Input::Started(partitions) => {
                self.partitions.extend(partitions.into_iter().map(|partition| (partition, OffsetTracker::default())));
            }
            Input::Records(records) => records.into_iter().for_each(|record| self.queue(record)),
            Input::Revoked(partitions) => {
                self.give_back(&partitions);
                self.source.send(Command::Release(partitions));
            }
            Input::Retained(_) => {}
            Input::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Puts a record in its key's line. One that is no event is its processor's dead letter, and nothing to react to.
    fn queue(&mut self, record: Record) {
        let Record { partition, offset, bytes, outcome, .. } = record;
        let Some(offset_tracker) = self.partitions.get_mut(&partition) else { return self.source.consumed(bytes) };
        offset_tracker.begin(offset);
        let wanted = outcome.ok().and_then(|event| {
            let effect = self.context.reactor.effect(&event)?.into_owned();
            Some((event, effect))
        });
        let Some((event, effect)) = wanted else { return self.done(partition, offset, bytes) };
        let key = event.data.key().into_owned();
        let pending = Pending { partition, offset, bytes, key: key.clone(), effect, event };
        let line = self.waiting.entry(key.clone()).or_insert_with(|| {
            self.ready.push_back(key);
            VecDeque::new()
        });
        line.push_back(pending);
    }

    fn start_effects(&mut self) {
        while self.effects.len() < self.context.reactor.spec().parallel {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(line) = self.waiting.get_mut(&key) else { continue };
            let keep = if self.context.reactor.spec().newest_only { 1 } else { line.len() };
            let superseded: Vec<Pending> = line.drain(..line.len().saturating_sub(keep)).collect();
            let next = line.pop_front();
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
            self.under_way.insert(task.id(), UnderWay { partition, offset, bytes, key });
            self.context.metrics.reactor_in_flight.set(self.effects.len().try_into().unwrap_or(i64::MAX));
        }
    }

    fn ended(&mut self, ended: Result<(Id, Option<EventHash>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        self.context.metrics.reactor_in_flight.set(self.effects.len().try_into().unwrap_or(i64::MAX));
        // One whose partition was given back is somebody else's by now.
        let Some(UnderWay { partition, offset, bytes, key }) = self.under_way.remove(&id) else { return };
        match ended {
            Ok((_, Some(output))) => {
                if self.newest_outputs.len() >= REMEMBERED_OUTPUTS {
                    self.newest_outputs.clear();
                }
                self.newest_outputs.insert(key.clone(), output);
            }
            Ok((_, None)) => {}
            Err(panic) => {
                error!(%partition, offset, error = %causes(&panic), "an effect panicked: its input is passed over");
                self.context.metrics.reactor_inputs_total.with_label_values(&["panicked"]).inc();
            }
        }
        self.done(partition, offset, bytes);
        self.next_of(key);
    }

    /// The next input of a key may be worked on.
    fn next_of(&mut self, key: String) {
        match self.waiting.get(&key) {
            Some(line) if !line.is_empty() => self.ready.push_back(key),
            _ => drop(self.waiting.remove(&key)),
        }
    }

    fn done(&mut self, partition: Partition, offset: i64, bytes: usize) {
        self.source.consumed(bytes);
        let moved = self.partitions.get_mut(&partition).and_then(|offset_tracker| offset_tracker.done(offset));
        if let Some(next_offset) = moved {
            self.source.send(Command::Folded(vec![(partition, next_offset)]));
        }
    }

    /// Whoever gets these partitions begins at the committed offset: what is not done is done there, to the same ids. An
    /// effect that was begun is let go on: nobody minds a second occurrence.
    fn give_back(&mut self, partitions: &[Partition]) {
        let mut given_back = Vec::new();
        for line in self.waiting.values_mut() {
            line.retain(|pending| {
                let stays = !partitions.contains(&pending.partition);
                if !stays {
                    given_back.push(pending.bytes);
                }
                stays
            });
        }
        let dropped: Vec<Id> =
            self.under_way.iter().filter(|(_, one)| partitions.contains(&one.partition)).map(|(id, _)| *id).collect();
        for id in dropped {
            if let Some(UnderWay { bytes, key, .. }) = self.under_way.remove(&id) {
                given_back.push(bytes);
                self.next_of(key);
            }
        }
        self.source.consumed(given_back.iter().sum());
        for partition in partitions {
            self.partitions.remove(partition);
        }
        info!(reactor = self.context.reactor.group(), ?partitions, "gave back");
    }
}

/// An input, and what must be folded before it is worked on.
struct Work {
    partition: Partition,
    offset: i64,
    effect: String,
    event: Event,
    /// What came of the key's input before this one.
    after: Option<EventHash>,
}

/// Does an effect and produces its outputs, however often it takes. Gives the first output's hash.
async fn react(context: &ReactorContext, input: &Work) -> Option<EventHash> {
    let began = Instant::now();
    let mut backoff = Backoff::default();
    let (outcome, output) = loop {
        match try_react(context, input).await {
            Ok(outcome) => break outcome,
            Err(failure) => {
                debug!(partition = %input.partition, input.offset, error = %causes(failure.as_ref()), "an effect failed, trying again");
                context.check.failing(causes(failure.as_ref()));
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
        // Whoever says "cheaper" means what came of the message before.
        let mut tries = 0..FOLDING_TRIES;
        while !snapshot.has(*after).await? && tries.next().is_some() {
            drop(snapshot);
            tokio::time::sleep(FOLDING_PAUSE).await;
            snapshot = context.snapshots.past(*partition, *offset).await?;
        }
    }
    let first = jangbogo_events::event_hash(&reactor, &output_id(&reactor, effect, &event.envelope, 0));
    if snapshot.has(first).await? {
        return Ok(("folded", None));
    }
    let (outcome, outputs) = match done(context, event, snapshot).await? {
        Ok(outputs) => ("reacted", outputs),
        Err(cause) => {
            error!(%partition, offset, cause, "an effect cannot be done: its fallback is recorded");
            let position = context.snapshots.past(*partition, *offset).await?.close();
            ("fallback", context.reactor.fallback(event, &position))
        }
    };
    let outputs = events_of(&reactor, effect, &event.envelope, outputs);
    context.outputs.produce(&outputs).await;
    Ok((outcome, outputs.first().map(|output| output.envelope.hash())))
}

/// Does an effect: gives its outputs, or why it never can be done.
async fn done(
    context: &ReactorContext,
    event: &Event,
    snapshot: Snapshot,
) -> Result<Result<Vec<Data>, String>, Failure> {
    // Nothing of an effect is kept after it: what it left half done is gone with it.
    match AssertUnwindSafe(context.reactor.react(event, snapshot)).catch_unwind().await {
        Ok(Ok(outputs)) => Ok(Ok(outputs)),
        Ok(Err(failure)) if failure.is::<InvalidValue>() => Ok(Err(causes(failure.as_ref()).to_string())),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Ok(Err("it panicked".to_owned())),
    }
}
