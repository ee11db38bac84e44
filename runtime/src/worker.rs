//! The fold loop: takes what is queued, commits it, and minds who owns which partition.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rdkafka::error::KafkaError;
use sqlx::postgres::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dead_letter::DeadLetters;
use crate::fold::{Processor, Shop};
use crate::retry::Backoff;
use crate::source::{Command, Input, Record, Refused, Source};
use crate::store::{Batch, Checkpoint, Committed, DeadLetter, Live, Partition, Progress, Statements, acquire, commit};
use crate::telemetry::{CheckHandle, ProcessorMetrics, causes};

/// Batches grow only under load, and to no more than this.
const MAX_BATCH_EVENTS: usize = 5_000;
/// A batch's records take at most this much, so that its rows fit in memory whatever they hold.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// What every worker of a processor shares.
#[derive(Clone)]
pub struct Context {
    /// What is folded.
    pub processor: &'static Processor,
    /// By which settings.
    pub shop: Shop,
    /// Into which tables.
    pub live: Live,
    /// Where those are.
    pub pool: PgPool,
    /// Their statements.
    pub statements: Arc<Statements>,
    /// Where refused records go.
    pub dead_letters: DeadLetters,
    /// What is counted.
    pub metrics: ProcessorMetrics,
    /// Postgres' readiness.
    pub check: CheckHandle,
}

/// What a worker knows of a partition it owns.
#[derive(Clone, Copy, Debug)]
struct Owned {
    epoch: i64,
    next_offset: i64,
    /// False until the source reads from the checkpoint: records before that belong to an earlier assignment.
    started: bool,
}

/// One consumer of the processor's group and the loop that folds what it reads.
pub struct Worker {
    context: Context,
    source: Source,
    owned: BTreeMap<Partition, Owned>,
    queue: VecDeque<Record>,
    stop: CancellationToken,
}

impl Worker {
    /// A worker that owns nothing yet.
    #[must_use]
    pub fn new(context: Context, source: Source, stop: CancellationToken) -> Self {
        Self { context, source, owned: BTreeMap::new(), queue: VecDeque::new(), stop }
    }

    /// Folds until it is asked to stop.
    ///
    /// # Errors
    /// When the consumer cannot go on, such as when another process has taken its place in the group.
    pub async fn run(mut self) -> Result<(), KafkaError> {
        let outcome = self.fold_until_stopped().await;
        self.source.close().await;
        outcome
    }

    async fn fold_until_stopped(&mut self) -> Result<(), KafkaError> {
        let stop = self.stop.clone();
        loop {
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                input = self.source.next() => input,
            };
            let Some(input) = input else { return Ok(()) };
            let mut next = Some(input);
            while let Some(input) = next {
                self.take(input).await?;
                next = if self.queue_is_full() { None } else { self.source.try_next() };
            }
            while !self.queue.is_empty() && !stop.is_cancelled() {
                self.fold_batch().await;
                while let Some(input) = (!self.queue_is_full()).then(|| self.source.try_next()).flatten() {
                    self.take(input).await?;
                }
            }
        }
    }

    fn queue_is_full(&self) -> bool {
        self.queue.len() >= MAX_BATCH_EVENTS
    }

    async fn take(&mut self, input: Input) -> Result<(), KafkaError> {
        match input {
            Input::Records(records) => self.queue.extend(records),
            Input::Assigned(partitions) | Input::Retained(partitions) => self.acquire(&partitions).await,
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
                info!(partitions = %listed(&partitions), "gave back");
                self.source.tell(Command::Release(partitions));
            }
            Input::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes the checkpoints over and has the source begin there. Waits for Postgres as long as it takes.
    async fn acquire(&mut self, partitions: &[Partition]) {
        let mut backoff = Backoff::default();
        let checkpoints = loop {
            match self.try_acquire(partitions).await {
                Ok(checkpoints) => break checkpoints,
                Err(error) => self.away(&error, "cannot acquire partitions"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = backoff.wait() => {}
            }
        };
        self.context.check.ok();
        for Checkpoint { partition, next_offset, epoch } in &checkpoints {
            let owned = Owned { epoch: *epoch, next_offset: *next_offset, started: false };
            self.owned.insert(*partition, owned);
        }
        info!(partitions = %listed(partitions), "acquired");
        self.source.tell(Command::Start(checkpoints));
    }

    async fn try_acquire(&self, partitions: &[Partition]) -> Result<Vec<Checkpoint>, sqlx::Error> {
        let mut connection = self.context.pool.acquire().await?;
        acquire(&mut connection, &self.context.live.generation, partitions).await
    }

    /// Commits the front of the queue, however often it takes.
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
        self.fold_records(records).await;
        self.source.consumed(bytes);
        let offsets = self.owned.iter().map(|(partition, owned)| (*partition, owned.next_offset)).collect();
        self.source.tell(Command::Folded(offsets));
        let metrics = &self.context.metrics;
        let idle = self.context.pool.num_idle();
        let size = usize::try_from(self.context.pool.size()).unwrap_or(usize::MAX);
        metrics.pool_connections.with_label_values(&["idle"]).set(count(idle));
        metrics.pool_connections.with_label_values(&["in_use"]).set(count(size.saturating_sub(idle)));
    }

    /// Folds records, the refused and the refusable one by one where need be. Returns once each is folded, kept as a
    /// dead letter, or no longer this worker's.
    async fn fold_records(&mut self, records: Vec<Record>) {
        let mut pending = vec![records];
        while let Some(mut records) = pending.pop() {
            let started = Instant::now();
            let mut backoff = Backoff::default();
            loop {
                records.retain(|record| self.is_mine(record));
                if records.is_empty() || self.stop.is_cancelled() {
                    break;
                }
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
                        self.away(&error, "a batch was not committed");
                        backoff.wait().await;
                    }
                }
            }
        }
    }

    fn is_mine(&self, record: &Record) -> bool {
        let owned = self.owned.get(&record.partition);
        owned.is_some_and(|owned| owned.started && record.offset >= owned.next_offset)
    }

    async fn try_fold(&self, records: &[Record]) -> Result<Committed, sqlx::Error> {
        let mut batch = Batch::default();
        let mut progress: BTreeMap<Partition, Progress> = BTreeMap::new();
        let mut events = Vec::new();
        for record in records.iter() {
            let owned = self.owned[&record.partition];
            let advance = progress.entry(record.partition).or_insert(Progress {
                partition: record.partition,
                epoch: owned.epoch,
                from: owned.next_offset,
                to: owned.next_offset,
                max_event_time: None,
            });
            advance.to = record.offset + 1;
            match &record.outcome {
                Ok(event) => {
                    advance.max_event_time = advance.max_event_time.max(Some(event.envelope.time));
                    events.push(event);
                }
                Err(refused) => {
                    self.context.dead_letters.keep(record, refused).await;
                    batch.dead_letters.push(DeadLetter {
                        partition: record.partition,
                        offset: record.offset,
                        appended_at: record.appended_at,
                        cause: refused.cause.clone(),
                    });
                }
            }
        }
        batch.events = events;
        batch.progress = progress.into_values().collect();
        let Context { pool, processor, shop, live, statements, .. } = &self.context;
        commit(pool, processor, shop, &live.generation, statements, &batch).await
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
        metrics.duplicates_skipped_total.inc_by((events - new_events.min(events)) as u64);
        metrics.batch_events.observe(f64::from(u32::try_from(records.len()).unwrap_or(u32::MAX)));
        metrics.batch_seconds.observe(started.elapsed().as_secs_f64());
    }

    /// Another worker owns these now, or so Postgres says. What was read of them is dropped; the group is asked.
    fn fenced(&mut self, partitions: &[Partition]) {
        warn!(partitions = %listed(partitions), "fenced: another worker has taken over");
        self.context.metrics.fenced_total.inc();
        let verify = |partition: &Partition| {
            let Owned { epoch, next_offset, .. } = self.owned.remove(partition)?;
            Some(Checkpoint { partition: *partition, next_offset, epoch })
        };
        self.source.tell(Command::Verify(partitions.iter().filter_map(verify).collect()));
    }

    fn away(&self, error: &sqlx::Error, what: &str) {
        warn!(error = %causes(error), "{what}, trying again");
        self.context.check.failing(error);
        self.context.metrics.retries_total.with_label_values(&["postgres"]).inc();
    }
}

/// Whether Postgres refuses the values themselves (a data exception or a broken constraint): trying again is in vain.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Makes the only record of a batch a dead letter.
fn refuse(records: &mut [Record], error: &sqlx::Error) {
    for record in records {
        if let Ok(event) = &record.outcome {
            let encoded = event.encode().ok();
            record.outcome = Err(Box::new(Refused {
                cause: format!("Postgres refuses the event's values: {}", causes(error)),
                key: encoded.as_ref().map(|encoded| encoded.key.clone().into_bytes()),
                value: encoded.as_ref().map(|encoded| encoded.value.clone()),
                headers: encoded
                    .map(|encoded| {
                        let header = |(key, value): (&str, String)| (key.to_owned(), Some(value.into_bytes()));
                        encoded.headers.into_iter().map(header).collect()
                    })
                    .unwrap_or_default(),
            }));
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn listed(partitions: &[Partition]) -> String {
    let names: Vec<String> = partitions.iter().map(Partition::to_string).collect();
    names.join(" ")
}
