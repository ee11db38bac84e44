//! The polling thread: reads records, handles the worker's commands, and confirms rebalances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as thread_channel};
use std::time::{Duration, Instant};

use jangbogo_log::Partition;
use jangbogo_log::decode::decode;
use jangbogo_store::Checkpoint;
use jangbogo_telemetry::causes;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::context::{Context, Rebalance};
use super::{Command, Input};

/// Backpressure: above this number of bytes queued for the worker no more are polled; below half of it paused
/// partitions resume, early enough for new records to arrive while a batch is folded.
const QUEUE_BYTES: usize = 2 << 20;
/// Partitions are paused when the queue is full for this time. A pause drops the client's prefetched records and takes
/// half a second to recover from, so it is for a worker that is stuck, not for one that is busy.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Sleep while the queue is full.
const FULL_SLEEP: Duration = Duration::from_millis(5);
/// Maximum delay of the worker's commands.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// Interval of offset commits to Kafka: a reactor's position, and the base of lag tools.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// librdkafka pauses every partition during a rebalance and a seek. Its fetching thread then sleeps for up to a second
/// and is not woken when they resume: for that time requests wake it.
const WAKING_TIME: Duration = Duration::from_secs(1);
const WAKING_INTERVAL: Duration = Duration::from_millis(50);

pub(super) struct Poller {
    consumer: BaseConsumer<Context>,
    inputs: mpsc::UnboundedSender<Input>,
    commands: thread_channel::Receiver<Command>,
    queued_bytes: Arc<AtomicUsize>,
    assigned: BTreeSet<Partition>,
    full_since: Option<Instant>,
    paused: bool,
    /// Rebalance that was sent to the worker and is not confirmed yet.
    unconfirmed: Option<Rebalance>,
    /// Partitions that this worker was fenced from, until the group has confirmed their owner.
    unverified: BTreeMap<Partition, i64>,
    uncommitted: BTreeMap<Partition, i64>,
    committed_at: Instant,
    /// Time when partitions were last resumed, and when the fetching thread was last woken.
    resumed_at: Option<Instant>,
    woken_at: Instant,
}

impl Poller {
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        inputs: mpsc::UnboundedSender<Input>,
        commands: thread_channel::Receiver<Command>,
        queued_bytes: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            consumer,
            inputs,
            commands,
            queued_bytes,
            assigned: BTreeSet::new(),
            full_since: None,
            paused: false,
            unconfirmed: None,
            unverified: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
            committed_at: Instant::now(),
            resumed_at: None,
            woken_at: Instant::now(),
        }
    }

    /// Polls until the source is closed.
    pub(super) fn run(mut self) {
        while !self.consumer.context().stopping.load(Ordering::Acquire) {
            if let Err(error) = self.poll_once() {
                if is_fatal(&error) {
                    self.send(Input::Failed(error));
                    return;
                }
                if is_outage(&error) {
                    // Readiness reports an outage once.
                    debug!(error = %causes(&error), "kafka source");
                } else {
                    warn!(error = %causes(&error), "kafka source");
                }
            }
        }
        self.commit_offsets();
        // A consumer does not close while the group waits for a confirmation.
        if let Some(Err(error)) = self.unconfirmed.take().map(|rebalance| rebalance.confirm(&self.consumer)) {
            debug!(%error, "rebalance while closing");
        }
    }

    fn poll_once(&mut self) -> KafkaResult<()> {
        while let Ok(command) = self.commands.try_recv() {
            if let Err(error) = self.handle_command(command) {
                // A partition that is neither read nor released would be stuck: the process restarts.
                self.send(Input::Failed(error));
            }
        }
        self.apply_backpressure()?;
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit_offsets();
            self.verify();
        }
        self.wake_fetching();
        if self.full_since.is_some() && !self.paused {
            std::thread::sleep(FULL_SLEEP);
            return Ok(());
        }
        let polled = self.poll();
        for rebalance in self.consumer.context().take_rebalances() {
            if let Err(error) = self.announce(rebalance) {
                self.send(Input::Failed(error));
            }
        }
        polled
    }

    /// Reads up to 500 records; waits for the first only.
    fn poll(&mut self) -> KafkaResult<()> {
        let mut records = Vec::new();
        let mut timeout = POLL_TIMEOUT;
        let mut outcome = Ok(());
        while records.len() < 500 {
            match self.consumer.poll(timeout) {
                None => break,
                Some(Err(error)) => {
                    outcome = Err(error);
                    break;
                }
                Some(Ok(message)) => {
                    if let Some(record) =
                        decode(&self.consumer.context().namespace, &self.consumer.context().discarded, &message)
                    {
                        self.queued_bytes.fetch_add(record.bytes, Ordering::Relaxed);
                        records.push(record);
                    }
                }
            }
            timeout = Duration::ZERO;
        }
        if !records.is_empty() {
            self.send(Input::Records(records));
        }
        outcome
    }

    fn announce(&mut self, rebalance: Rebalance) -> KafkaResult<()> {
        if rebalance.list.count() == 0 {
            self.resumed_at = Some(Instant::now());
            return rebalance.confirm(&self.consumer);
        }
        let partitions = self.consumer.context().partitions(&rebalance.list);
        self.send(if rebalance.assign { Input::Assigned(partitions) } else { Input::Revoked(partitions) });
        self.unconfirmed = Some(rebalance);
        Ok(())
    }

    fn handle_command(&mut self, command: Command) -> KafkaResult<()> {
        match command {
            Command::Start(checkpoints) => {
                self.start(&next_offsets(&checkpoints).map(position).collect::<Vec<_>>())?;
                self.started(&checkpoints);
                Ok(())
            }
            Command::StartAtCommitted(partitions) => {
                let positions = partitions.iter().map(|partition| (*partition, Offset::Stored));
                self.start(&positions.collect::<Vec<_>>())?;
                self.send(Input::Started(partitions));
                Ok(())
            }
            Command::Reread(checkpoints) => self.reread(&checkpoints),
            Command::Release(partitions) => self.release(&partitions),
            Command::Folded(offsets) => {
                self.consumer.context().folded().extend(offsets.iter().copied());
                self.uncommitted.extend(offsets);
                Ok(())
            }
            Command::Verify(offsets) => {
                self.unverified.extend(offsets);
                self.verify();
                Ok(())
            }
        }
    }

    /// Confirms an assignment. A frozen partition has no checkpoint and is not read.
    fn start(&mut self, positions: &[(Partition, Offset)]) -> KafkaResult<()> {
        self.unconfirmed = None;
        let list = self.list(positions.iter().copied())?;
        self.consumer.incremental_assign(&list)?;
        self.resumed_at = Some(Instant::now());
        self.assigned.extend(positions.iter().map(|(partition, _)| *partition));
        if self.paused {
            self.consumer.pause(&list)?;
        }
        Ok(())
    }

    fn reread(&mut self, checkpoints: &[Checkpoint]) -> KafkaResult<()> {
        let list = self.list(next_offsets(checkpoints).map(position))?;
        let sought = self
            .consumer
            .seek_partitions(list, Duration::from_secs(5))
            .and_then(|sought| sought.elements().iter().try_for_each(TopicPartitionListElem::error));
        if let Err(error) = sought {
            warn!(error = %causes(&error), "cannot seek to the checkpoints; retrying");
            self.unverified.extend(next_offsets(checkpoints));
            return Ok(());
        }
        self.resumed_at = Some(Instant::now());
        self.started(checkpoints);
        Ok(())
    }

    fn started(&self, checkpoints: &[Checkpoint]) {
        self.consumer.context().folded().extend(next_offsets(checkpoints));
        self.send(Input::Started(checkpoints.iter().map(|checkpoint| checkpoint.partition).collect()));
    }

    fn release(&mut self, partitions: &[Partition]) -> KafkaResult<()> {
        self.unconfirmed = None;
        self.commit_offsets();
        let mut held = Vec::new();
        for partition in partitions {
            self.consumer.context().folded().remove(partition);
            self.unverified.remove(partition);
            if self.assigned.remove(partition) {
                held.push((*partition, Offset::Invalid));
            }
            let labels = [partition.topic.name(), &partition.number.to_string()];
            // The new owner reports the lag.
            let _ = self.consumer.context().lag.remove_label_values(&labels);
        }
        self.resumed_at = Some(Instant::now());
        self.consumer.incremental_unassign(&self.list(held)?)
    }

    fn wake_fetching(&mut self) {
        if self.resumed_at.is_none_or(|resumed| resumed.elapsed() > WAKING_TIME)
            || self.woken_at.elapsed() < WAKING_INTERVAL
        {
            return;
        }
        self.woken_at = Instant::now();
        // In this request an offset is a timestamp, and this one means the end. The response is ignored.
        let mut ends = TopicPartitionList::new();
        for partition in &self.assigned {
            let topic = self.consumer.context().namespace.topic(partition.topic);
            let _ = ends.add_partition_offset(&topic, partition.number, Offset::End);
        }
        let _ = self.consumer.offsets_for_times(ends, WAKING_INTERVAL);
    }

    /// Verifies ownership with an offset commit, which the group rejects for a member that lost the partition. Repeated
    /// while the group does not respond.
    fn verify(&mut self) {
        if self.unverified.is_empty() {
            return;
        }
        let offsets = self.unverified.clone();
        let list = self.list(offsets.into_iter().map(position));
        match list.and_then(|list| self.consumer.commit(&list, CommitMode::Sync)) {
            Ok(()) => {
                let retained = std::mem::take(&mut self.unverified);
                self.send(Input::Retained(retained.into_keys().collect()));
            }
            Err(error) => debug!(error = %causes(&error), "ownership of fenced partitions not confirmed"),
        }
    }

    fn apply_backpressure(&mut self) -> KafkaResult<()> {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        self.full_since = (queued > QUEUE_BYTES).then(|| self.full_since.unwrap_or_else(Instant::now));
        if !self.paused && self.full_since.is_some_and(|since| since.elapsed() >= PAUSE_AFTER) {
            self.consumer.pause(&self.consumer.assignment()?)?;
            self.paused = true;
        } else if self.paused && queued < QUEUE_BYTES / 2 {
            self.consumer.resume(&self.consumer.assignment()?)?;
            self.paused = false;
        }
        Ok(())
    }

    fn commit_offsets(&mut self) {
        self.committed_at = Instant::now();
        let offsets = std::mem::take(&mut self.uncommitted);
        if offsets.is_empty() {
            return;
        }
        let list = self.list(offsets.into_iter().map(position));
        let committed = list.and_then(|list| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            debug!(error = %causes(&error), "offset commit failed");
        }
    }

    fn list(&self, offsets: impl IntoIterator<Item = (Partition, Offset)>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let topic = self.consumer.context().namespace.topic(partition.topic);
            list.add_partition_offset(&topic, partition.number, offset)?;
        }
        Ok(list)
    }

    fn send(&self, input: Input) {
        if self.inputs.send(input).is_err() {
            debug!("worker has ended");
        }
    }
}

fn next_offsets(checkpoints: &[Checkpoint]) -> impl Iterator<Item = (Partition, i64)> {
    checkpoints.iter().map(|checkpoint| (checkpoint.partition, checkpoint.next_offset))
}

fn position((partition, next_offset): (Partition, i64)) -> (Partition, Offset) {
    (partition, Offset::Offset(next_offset))
}

fn is_fatal(error: &KafkaError) -> bool {
    let fatal = [
        RDKafkaErrorCode::Fatal,
        RDKafkaErrorCode::FencedInstanceId,
        RDKafkaErrorCode::GroupAuthorizationFailed,
        RDKafkaErrorCode::AutoOffsetReset,
        RDKafkaErrorCode::OffsetOutOfRange,
    ];
    error.rdkafka_error_code().is_some_and(|code| fatal.contains(&code))
}

fn is_outage(error: &KafkaError) -> bool {
    let outage =
        [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::Resolve];
    error.rdkafka_error_code().is_some_and(|code| outage.contains(&code))
}
