//! The fold loop: commits queued records in batches, and tracks partition ownership by fencing tokens (epochs).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_log::{Partition, Record};
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::refusal::{is_refusal, refuse};
use jangbogo_store::{Batch, Checkpoint, Committed, FoldedOffsets, Generation, Live, Statements, acquire, commit};
use jangbogo_telemetry::{CheckHandle, ProcessorMetrics, causes};
use rdkafka::error::KafkaError;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::dead_letter::DeadLetterProducer;
use crate::source::{Command, Input, Source};

/// Maximum batch size. Batches grow only under load.
const MAX_BATCH_EVENTS: usize = 5_000;
/// Maximum size of a batch's records, so that its rows fit in memory.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Linger: minimum time between the starts of two commits. A commit after a pause begins at once; those that would
/// follow closely are batched.
const COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// A batch of this number of records commits without linger.
const MIN_BATCH_WITHOUT_LINGER: usize = 500;

/// Time for the last commit after the worker is stopped.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Shared by all workers of a processor.
#[derive(Clone)]
pub struct Context {
    pub processor: &'static Processor,
    pub config: FoldConfig,
    /// The generation that is folded into; changes at a cut-over.
    pub live: watch::Receiver<Live>,
    /// Notified when the generation may no longer be live.
    pub generation_changed: Arc<Notify>,
    pub pool: PgPool,
    pub statements: Arc<Statements>,
    pub dead_letters: DeadLetterProducer,
    /// Folded offsets, for which reactors wait.
    pub folded: Arc<FoldedOffsets>,
    pub metrics: ProcessorMetrics,
    /// Readiness check of Postgres.
    pub check: CheckHandle,
}

/// State of an owned partition.
#[derive(Clone, Copy, Debug)]
struct Owned {
    epoch: i64,
    next_offset: i64,
    /// False until the source reads from the checkpoint, since earlier records belong to a previous assignment; false
    /// again once fenced.
    started: bool,
}

/// One consumer of the processor's group, and the loop that folds its records.
pub struct Worker {
    context: Context,
    generation: Generation,
    source: Source,
    owned: BTreeMap<Partition, Owned>,
    queue: VecDeque<Record>,
    /// Kept between commits: the pool tests a connection each time it is returned.
    connection: Option<PoolConnection<Postgres>>,
    /// Start of the last commit.
    commit_started: Instant,
    stop: CancellationToken,
}

impl Worker {
    /// A worker without partitions.
    #[must_use]
    pub fn new(mut context: Context, source: Source, stop: CancellationToken) -> Self {
        let generation = context.live.borrow_and_update().generation.clone();
        Self {
            context,
            generation,
            source,
            owned: BTreeMap::new(),
            queue: VecDeque::new(),
            connection: None,
            commit_started: Instant::now(),
            stop,
        }
    }

    /// Folds until it is stopped.
    ///
    /// # Errors
    /// When the consumer fails, such as when another process has joined under its `group.instance.id`.
    pub async fn run(mut self) -> Result<(), KafkaError> {
        let stop = self.stop.clone();
        let outcome = tokio::select! {
            outcome = self.fold_until_stopped() => outcome,
            // An unavailable server is no longer waited for: the partitions' next owner begins at the checkpoint.
            () = async { stop.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => Ok(()),
        };
        self.source.close().await;
        outcome
    }

    async fn fold_until_stopped(&mut self) -> Result<(), KafkaError> {
        let stop = self.stop.clone();
        loop {
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Ok(()) = self.context.live.changed() => {
                    self.change_generation();
                    continue;
                }
                input = self.source.next() => input,
            };
            // The source outlives its worker.
            let Some(input) = input else { return Err(KafkaError::Canceled) };
            let mut next = Some(input);
            while let Some(input) = next {
                self.handle(input).await?;
                next = if self.queue_is_full() { None } else { self.source.try_next() };
            }
            while !self.queue.is_empty() && !stop.is_cancelled() {
                self.linger().await?;
                self.fold_batch().await;
                while let Some(input) = (!self.queue_is_full()).then(|| self.source.try_next()).flatten() {
                    self.handle(input).await?;
                }
            }
        }
    }

    /// Queues further records until the next commit is due or the batch is large enough.
    async fn linger(&mut self) -> Result<(), KafkaError> {
        let due = (self.commit_started + COMMIT_INTERVAL).into();
        let stop = self.stop.clone();
        while self.queue.len() < MIN_BATCH_WITHOUT_LINGER {
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(due) => return Ok(()),
                input = self.source.next() => input,
            };
            self.handle(input.ok_or(KafkaError::Canceled)?).await?;
        }
        Ok(())
    }

    fn queue_is_full(&self) -> bool {
        self.queue.len() >= MAX_BATCH_EVENTS
    }

    async fn handle(&mut self, input: Input) -> Result<(), KafkaError> {
        match input {
            Input::Records(records) => {
                for record in records {
                    if self.is_owned(&record) {
                        self.queue.push_back(record);
                    } else {
                        self.source.consumed(record.bytes);
                    }
                }
            }
            Input::Assigned(partitions) => {
                if let Some(checkpoints) = self.acquire(&partitions).await {
                    self.source.send(Command::Start(checkpoints));
                }
            }
            Input::Retained(mut partitions) => {
                partitions.retain(|partition| self.owned.contains_key(partition));
                if !partitions.is_empty()
                    && let Some(checkpoints) = self.acquire(&partitions).await
                {
                    self.source.send(Command::Reread(checkpoints));
                }
            }
            Input::Started(partitions) => {
                for partition in partitions {
                    if let Some(owned) = self.owned.get_mut(&partition) {
                        owned.started = true;
                    }
                }
            }
            Input::Revoked(partitions) => {
                while !self.queue.is_empty() && !self.stop.is_cancelled() {
                    self.fold_batch().await;
                }
                for partition in &partitions {
                    self.owned.remove(partition);
                }
                info!(partitions = %joined(&partitions), "revoked");
                self.source.send(Command::Release(partitions));
            }
            Input::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Acquires the checkpoints under a new epoch. Retries while Postgres is unavailable or the generation is frozen
    /// for a cut-over; none if the worker is stopped meanwhile.
    async fn acquire(&mut self, partitions: &[Partition]) -> Option<Vec<Checkpoint>> {
        let mut backoff = Backoff::default();
        let checkpoints = loop {
            match self.try_acquire(partitions).await {
                Ok(checkpoints) if checkpoints.len() == partitions.len() => break checkpoints,
                Ok(_) => debug!(schema = self.generation.schema, "generation frozen; waiting for the next one"),
                Err(error) => self.report_failure(&error, "cannot acquire partitions"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                Ok(()) = self.context.live.changed() => self.change_generation(),
                () = backoff.wait() => {}
            }
        };
        self.context.check.ok();
        for Checkpoint { partition, next_offset, epoch } in &checkpoints {
            let owned = Owned { epoch: *epoch, next_offset: *next_offset, started: false };
            self.owned.insert(*partition, owned);
        }
        info!(partitions = %joined(partitions), "acquired");
        Some(checkpoints)
    }

    async fn try_acquire(&self, partitions: &[Partition]) -> Result<Vec<Checkpoint>, sqlx::Error> {
        let mut connection = self.context.pool.acquire().await?;
        acquire(&mut connection, &self.generation, partitions).await
    }

    /// Commits a batch from the front of the queue, with retries.
    async fn fold_batch(&mut self) {
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(record) = self.queue.front() {
            if !records.is_empty() && (records.len() >= MAX_BATCH_EVENTS || bytes + record.bytes > MAX_BATCH_BYTES) {
                break;
            }
            bytes += record.bytes;
            records.extend(self.queue.pop_front());
        }
        self.commit_started = Instant::now();
        self.fold_records(records).await;
        self.source.consumed(bytes);
        let started = self.owned.iter().filter(|(_, owned)| owned.started);
        let offsets = started.map(|(partition, owned)| (*partition, owned.next_offset)).collect();
        self.source.send(Command::Folded(offsets));
        let metrics = &self.context.metrics;
        let idle = self.context.pool.num_idle();
        let size = usize::try_from(self.context.pool.size()).unwrap_or(usize::MAX);
        metrics.pool_connections.with_label_values(&["idle"]).set(count(idle));
        metrics.pool_connections.with_label_values(&["in_use"]).set(count(size.saturating_sub(idle)));
    }

    /// Folds records. A batch that Postgres rejects is bisected until the offending record is alone and is refused.
    /// Returns once each record is folded, kept as a dead letter, or no longer owned by this worker.
    async fn fold_records(&mut self, records: Vec<Record>) {
        let mut pending = vec![records];
        while let Some(mut records) = pending.pop() {
            let started = Instant::now();
            let mut backoff = Backoff::default();
            loop {
                records.retain(|record| self.is_owned(record));
                if records.is_empty() || self.stop.is_cancelled() {
                    break;
                }
                self.keep_refused(&mut records).await;
                match self.try_fold(&records).await {
                    Ok(Committed::Folded { new_events, .. }) => {
                        self.context.check.ok();
                        self.advance(&records, new_events, started);
                        break;
                    }
                    Ok(Committed::Fenced(partitions)) => self.fenced(&partitions),
                    Err(error) if is_refusal(&error) && records.len() > 1 => {
                        let second = records.split_off(records.len() / 2);
                        pending.push(second);
                        pending.push(records);
                        break;
                    }
                    Err(error) if is_refusal(&error) => refuse(&mut records, &error),
                    Err(error) => {
                        self.report_failure(&error, "cannot commit a batch");
                        tokio::select! {
                            Ok(()) = self.context.live.changed() => self.change_generation(),
                            () = backoff.wait() => {}
                        }
                    }
                }
            }
        }
    }

    /// Produces dead letters for refused records that have none yet.
    async fn keep_refused(&self, records: &mut [Record]) {
        let not_kept = |record: &Record| record.outcome.as_ref().is_err_and(|refused| !refused.kept);
        let keep = |record| self.context.dead_letters.keep(record);
        join_all(records.iter().filter(|record| not_kept(record)).map(keep)).await;
        for record in records {
            if let Err(refused) = &mut record.outcome {
                refused.kept = true;
            }
        }
    }

    fn is_owned(&self, record: &Record) -> bool {
        let owned = self.owned.get(&record.partition);
        owned.is_some_and(|owned| owned.started && record.offset >= owned.next_offset)
    }

    async fn try_fold(&mut self, records: &[Record]) -> Result<Committed, sqlx::Error> {
        let batch = Batch::new(records, None, |partition| {
            let Owned { epoch, next_offset, .. } = self.owned[&partition];
            Checkpoint { partition, next_offset, epoch }
        });
        let Context { pool, processor, config, statements, .. } = &self.context;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => pool.acquire().await?,
        };
        let committed = commit(&mut connection, processor, config, &self.generation, statements, &batch).await?;
        self.connection = Some(connection);
        Ok(committed)
    }

    fn advance(&mut self, records: &[Record], new_events: usize, started: Instant) {
        let metrics = &self.context.metrics;
        let mut events = 0;
        for record in records {
            if let Some(owned) = self.owned.get_mut(&record.partition) {
                owned.next_offset = record.offset + 1;
            }
            let counter = if record.outcome.is_ok() {
                events += 1;
                &metrics.events_folded_total
            } else {
                &metrics.dead_letters_total
            };
            counter.with_label_values(&[record.partition.topic.name()]).inc();
        }
        self.context.folded.advance(self.owned.iter().map(|(partition, owned)| (*partition, owned.next_offset)));
        metrics.duplicates_skipped_total.inc_by((events - new_events.min(events)) as u64);
        metrics.batch_events.observe(f64::from(u32::try_from(records.len()).unwrap_or(u32::MAX)));
        metrics.batch_seconds.observe(started.elapsed().as_secs_f64());
    }

    /// Switches to the new live generation: its checkpoints are acquired, and reading restarts from them.
    fn change_generation(&mut self) {
        self.generation = self.context.live.borrow_and_update().generation.clone();
        info!(schema = self.generation.schema, "generation changed; folding into the live one");
        let owned: Vec<Partition> = self.owned.keys().copied().collect();
        self.release(&owned);
    }

    /// A commit was rejected by the fencing token: another worker owns the partitions, or another generation is live.
    fn fenced(&mut self, partitions: &[Partition]) {
        warn!(partitions = %joined(partitions), "fenced: another worker has taken over");
        self.context.metrics.fenced_total.inc();
        self.context.generation_changed.notify_one();
        self.release(partitions);
    }

    /// Drops queued records of the partitions, which would be folded past a gap if these are acquired again, and asks
    /// the group for the owner.
    fn release(&mut self, partitions: &[Partition]) {
        let mut offsets = Vec::new();
        for partition in partitions {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.started = false;
                offsets.push((*partition, owned.next_offset));
            }
        }
        self.queue.retain(|record| {
            let is_dropped = partitions.contains(&record.partition);
            if is_dropped {
                self.source.consumed(record.bytes);
            }
            !is_dropped
        });
        self.source.send(Command::Verify(offsets));
    }

    fn report_failure(&self, error: &sqlx::Error, action: &str) {
        debug!(error = %causes(error), "{action}; retrying");
        self.context.check.failing(error);
        self.context.metrics.retries_total.with_label_values(&["postgres"]).inc();
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn joined(partitions: &[Partition]) -> String {
    let names: Vec<String> = partitions.iter().map(Partition::to_string).collect();
    names.join(" ")
}
