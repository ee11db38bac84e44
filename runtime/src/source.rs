//! Kafka as a source of decoded records. A thread of its own polls without ever waiting for work; the worker says
//! where each partition begins and when it may be given back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as thread_channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use events::Event;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use crate::config::Connections;
use crate::fold::Processor;
use crate::kafka::QuietContext;
use crate::namespace::Namespace;
use crate::store::{Checkpoint, Partition};
use crate::telemetry::{CheckHandle, ProcessorMetrics, causes};

/// Records waiting for the worker: above this many bytes no more are taken, and below half paused partitions resume,
/// early enough for new ones to come while a batch is folded.
const QUEUE_BYTES: usize = 2 << 20;
/// How long the queue may be full before partitions are paused. A pause drops what the client has fetched ahead and takes
/// half a second to recover from, so it is for a worker that stands still, not for one that is busy.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// How long the thread sleeps while the queue is full.
const FULL_SLEEP: Duration = Duration::from_millis(5);
/// The longest the thread sleeps before it looks at the worker's commands.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// How often offsets are committed to Kafka. They are for lag tools only: the checkpoint is in Postgres.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// How long leaving the group may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);
/// The furthest an event's time may be ahead of the moment the broker appended it.
const MAX_TIME_AHEAD: TimeDelta = TimeDelta::hours(1);

/// What the source tells the worker, in this order for each partition: assigned, started, records, revoked.
#[derive(Debug)]
pub enum Input {
    /// The group gave these partitions: acquire them and answer [`Command::Start`].
    Assigned(Vec<Partition>),
    /// Records of this partition from here on are the ones from the offset that was asked for.
    Started(Vec<Partition>),
    /// Read records.
    Records(Vec<Record>),
    /// The group wants these back: finish and answer [`Command::Release`].
    Revoked(Vec<Partition>),
    /// The group still counts this worker as the owner of a partition that it was fenced from: acquire it again.
    Retained(Vec<Partition>),
    /// The consumer cannot go on.
    Failed(KafkaError),
}

/// What the worker tells the source.
#[derive(Debug)]
pub enum Command {
    /// Read these assigned partitions from their checkpoints.
    Start(Vec<Checkpoint>),
    /// Read these retained partitions from their checkpoints.
    Reread(Vec<Checkpoint>),
    /// These partitions may go to others.
    Release(Vec<Partition>),
    /// Everything before these offsets is folded.
    Folded(Vec<(Partition, i64)>),
    /// Another worker has taken these over: ask the group whether they are still ours.
    Verify(Vec<(Partition, i64)>),
}

/// A record and what it decoded to.
#[derive(Debug)]
pub struct Record {
    /// Where it stands.
    pub partition: Partition,
    /// There.
    pub offset: i64,
    /// When the broker appended it.
    pub appended_at: DateTime<Utc>,
    /// How much of the queue it takes.
    pub bytes: usize,
    /// The event, or the record itself with the cause.
    pub outcome: Result<Event, Box<Refused>>,
}

/// A record that is no event, unchanged.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub cause: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Whether it is in the dead-letter topic.
    pub kept: bool,
}

/// The worker's end of a source.
#[derive(Debug)]
pub struct Source {
    inputs: mpsc::UnboundedReceiver<Input>,
    commands: thread_channel::Sender<Command>,
    queued_bytes: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    /// Closed when the thread ends.
    ended: oneshot::Receiver<()>,
}

/// What a source reads as.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Static membership: unique in the group. None for a member that leaves when it stops.
    pub instance: Option<String>,
    /// Of the process's metrics.
    pub metrics: ProcessorMetrics,
    /// Kafka's readiness.
    pub check: CheckHandle,
}

impl Source {
    /// Joins the processor's group and begins to poll.
    ///
    /// # Errors
    /// When the configuration is refused.
    pub fn open(connections: &Connections, processor: &Processor, options: SourceOptions) -> KafkaResult<Source> {
        let group = connections.namespace.group(processor.name);
        let mut config = connections.kafka_client(&group);
        config
            .set("group.id", &group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("max.poll.interval.ms", "60000")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.error.backoff.ms", "50")
            // By default a partition whose queue is full is not asked for more within a second, in which it runs dry.
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.message.max.bytes", "1048576")
            .set("statistics.interval.ms", "1000");
        if let Some(instance) = &options.instance {
            config.set("group.instance.id", format!("{group}-{instance}"));
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let context = Context {
            rebalances: Mutex::default(),
            stopping: Arc::clone(&stopping),
            namespace: connections.namespace.clone(),
            metrics: options.metrics,
            check: options.check,
            folded: Mutex::default(),
        };
        let consumer: BaseConsumer<Context> = config.create_with_context(context)?;
        let topics: Vec<String> =
            processor.topics().into_iter().map(|topic| connections.namespace.topic(topic)).collect();
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (to_worker, inputs) = mpsc::unbounded_channel();
        let (commands, from_worker) = thread_channel::channel();
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let poller = Poller {
            consumer,
            inputs: to_worker,
            commands: from_worker,
            queued_bytes: Arc::clone(&queued_bytes),
            assigned: BTreeSet::new(),
            full_since: None,
            paused: false,
            unanswered: None,
            unverified: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
            committed_at: Instant::now(),
        };
        let (until_ended, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("kafka-source".to_owned())
            .spawn(move || {
                let _until_ended: oneshot::Sender<()> = until_ended;
                poller.run();
            })
            .map_err(|error| KafkaError::ClientCreation(format!("cannot start a thread: {error}")))?;
        Ok(Source { inputs, commands, queued_bytes, stopping, ended })
    }

    /// The next input; none when the source has ended.
    pub async fn next(&mut self) -> Option<Input> {
        self.inputs.recv().await
    }

    /// The next input if it is there already.
    pub fn try_next(&mut self) -> Option<Input> {
        self.inputs.try_recv().ok()
    }

    /// Tells the source something; one that has ended does not mind.
    pub fn tell(&self, command: Command) {
        if self.commands.send(command).is_err() {
            debug!("the kafka source has ended");
        }
    }

    /// Makes room in the queue.
    pub fn consumed(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Leaves the group, as far as Kafka answers.
    pub async fn close(mut self) {
        self.stopping.store(true, Ordering::Release);
        if tokio::time::timeout(LEAVE_LIMIT, &mut self.ended).await.is_err() {
            warn!("kafka does not answer: this member leaves the group when its session ends");
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

/// A rebalance, for whose answer the group waits.
struct Rebalance {
    /// Whether these partitions are given, or taken back.
    assign: bool,
    list: TopicPartitionList,
}

impl Rebalance {
    fn answer(&self, consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
        if self.assign { consumer.incremental_assign(&self.list) } else { consumer.incremental_unassign(&self.list) }
    }
}

struct Context {
    rebalances: Mutex<Vec<Rebalance>>,
    stopping: Arc<AtomicBool>,
    namespace: Namespace,
    metrics: ProcessorMetrics,
    check: CheckHandle,
    folded: Mutex<BTreeMap<Partition, i64>>,
}

impl Context {
    fn partition(&self, topic: &str, number: i32) -> Option<Partition> {
        Some(Partition { topic: self.namespace.topic_of(topic)?, number })
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        list.elements().iter().filter_map(|element| self.partition(element.topic(), element.partition())).collect()
    }

    fn folded(&self) -> std::sync::MutexGuard<'_, BTreeMap<Partition, i64>> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.check.ok();
        } else {
            self.check.failing("no broker of the cluster answers");
        }
        let folded = self.folded();
        for (partition, next_offset) in folded.iter() {
            let high = statistics
                .topics
                .get(&self.namespace.topic(partition.topic))
                .and_then(|topic| topic.partitions.get(&partition.number))
                .map_or(-1, |statistics| statistics.hi_offset);
            if high >= 0 {
                self.metrics
                    .lag_events
                    .with_label_values(&[partition.topic.name(), &partition.number.to_string()])
                    .set((high - next_offset).max(0));
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }
}

impl ConsumerContext for Context {
    /// Only takes note: the group waits for the answer, which the poller gives once the worker is ready for it.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let rebalance = Rebalance { assign, list: list.clone() };
        if !self.stopping.load(Ordering::Acquire) {
            self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push(rebalance);
            return;
        }
        // While the consumer closes there is no worker to ask any more.
        if let Err(error) = rebalance.answer(consumer) {
            debug!(%error, "rebalance while closing");
        }
    }
}

/// The thread's state.
struct Poller {
    consumer: BaseConsumer<Context>,
    inputs: mpsc::UnboundedSender<Input>,
    commands: thread_channel::Receiver<Command>,
    queued_bytes: Arc<AtomicUsize>,
    assigned: BTreeSet<Partition>,
    full_since: Option<Instant>,
    paused: bool,
    /// What the worker has been told of and has not answered.
    unanswered: Option<Rebalance>,
    /// Partitions that another worker took over, until the group says whose they are.
    unverified: BTreeMap<Partition, i64>,
    uncommitted: BTreeMap<Partition, i64>,
    committed_at: Instant,
}

impl Poller {
    fn run(mut self) {
        while !self.consumer.context().stopping.load(Ordering::Acquire) {
            if let Err(error) = self.turn() {
                if is_fatal(&error) {
                    self.send(Input::Failed(error));
                    return;
                }
                if is_outage(&error) {
                    // Readiness says so, once.
                    debug!(error = %causes(&error), "kafka source");
                } else {
                    warn!(error = %causes(&error), "kafka source");
                }
            }
        }
        self.commit_offsets();
        // A consumer does not close while the group waits for an answer.
        if let Some(Err(error)) = self.unanswered.take().map(|rebalance| rebalance.answer(&self.consumer)) {
            debug!(%error, "rebalance while closing");
        }
    }

    fn turn(&mut self) -> KafkaResult<()> {
        while let Ok(command) = self.commands.try_recv() {
            if let Err(error) = self.obey(command) {
                // A partition that is neither read nor given back would stand still: a restart begins it anew.
                self.send(Input::Failed(error));
            }
        }
        self.press_back()?;
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit_offsets();
            self.verify();
        }
        if self.full_since.is_some() && !self.paused {
            std::thread::sleep(FULL_SLEEP);
            return Ok(());
        }
        let polled = self.poll();
        let rebalances =
            std::mem::take(&mut *self.consumer.context().rebalances.lock().unwrap_or_else(PoisonError::into_inner));
        for rebalance in rebalances {
            if let Err(error) = self.announce(rebalance) {
                self.send(Input::Failed(error));
            }
        }
        polled
    }

    /// Reads what has arrived, a bounded number of records, waiting only for the first.
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
                    if let Some(record) = decode(self.consumer.context(), &message) {
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
            return rebalance.answer(&self.consumer);
        }
        let partitions = self.consumer.context().partitions(&rebalance.list);
        self.send(if rebalance.assign { Input::Assigned(partitions) } else { Input::Revoked(partitions) });
        self.unanswered = Some(rebalance);
        Ok(())
    }

    fn obey(&mut self, command: Command) -> KafkaResult<()> {
        match command {
            Command::Start(checkpoints) => self.start(&checkpoints),
            Command::Reread(checkpoints) => self.reread(&checkpoints),
            Command::Release(partitions) => self.release(&partitions),
            Command::Folded(offsets) => {
                self.consumer.context().folded().extend(offsets.iter().copied());
                self.uncommitted.extend(offsets);
                Ok(())
            }
            Command::Verify(offsets) => {
                self.unverified.extend(offsets);
                Ok(())
            }
        }
    }

    /// Answers an assignment. A partition that is frozen has no checkpoint and is not read.
    fn start(&mut self, checkpoints: &[Checkpoint]) -> KafkaResult<()> {
        self.unanswered = None;
        let list = self.list(checkpoints.iter().map(|one| (one.partition, one.next_offset)))?;
        self.consumer.incremental_assign(&list)?;
        self.assigned.extend(checkpoints.iter().map(|one| one.partition));
        if self.paused {
            self.consumer.pause(&list)?;
        }
        self.started(checkpoints);
        Ok(())
    }

    fn reread(&mut self, checkpoints: &[Checkpoint]) -> KafkaResult<()> {
        let list = self.list(checkpoints.iter().map(|one| (one.partition, one.next_offset)))?;
        let sought = self
            .consumer
            .seek_partitions(list, Duration::from_secs(5))
            .and_then(|sought| sought.elements().iter().try_for_each(TopicPartitionListElem::error));
        if let Err(error) = sought {
            warn!(error = %causes(&error), "cannot go back to the checkpoints, trying again");
            self.unverified.extend(checkpoints.iter().map(|one| (one.partition, one.next_offset)));
            return Ok(());
        }
        self.started(checkpoints);
        Ok(())
    }

    fn started(&self, checkpoints: &[Checkpoint]) {
        self.consumer.context().folded().extend(checkpoints.iter().map(|one| (one.partition, one.next_offset)));
        self.send(Input::Started(checkpoints.iter().map(|one| one.partition).collect()));
    }

    /// Answers a revocation.
    fn release(&mut self, partitions: &[Partition]) -> KafkaResult<()> {
        self.unanswered = None;
        self.commit_offsets();
        let mut held = Vec::new();
        for partition in partitions {
            self.consumer.context().folded().remove(partition);
            self.unverified.remove(partition);
            if self.assigned.remove(partition) {
                held.push((*partition, -1));
            }
            let labels = [partition.topic.name(), &partition.number.to_string()];
            // A lag that somebody else works off is not this process's to report.
            let _ = self.consumer.context().metrics.lag_events.remove_label_values(&labels);
        }
        self.consumer.incremental_unassign(&self.list(held)?)
    }

    /// A group refuses the offset commit of a member that has lost its place; one that it keeps waiting is asked again.
    fn verify(&mut self) {
        if self.unverified.is_empty() {
            return;
        }
        let offsets = self.unverified.clone();
        match self.list(offsets).and_then(|list| self.consumer.commit(&list, CommitMode::Sync)) {
            Ok(()) => {
                let retained = std::mem::take(&mut self.unverified);
                self.send(Input::Retained(retained.into_keys().collect()));
            }
            Err(error) => debug!(error = %causes(&error), "the group does not say that fenced partitions are ours"),
        }
    }

    fn press_back(&mut self) -> KafkaResult<()> {
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
        let committed = self.list(offsets).and_then(|list| self.consumer.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            debug!(error = %causes(&error), "offsets for lag tools were not committed");
        }
    }

    fn list(&self, offsets: impl IntoIterator<Item = (Partition, i64)>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let topic = self.consumer.context().namespace.topic(partition.topic);
            let offset = if offset < 0 { Offset::Invalid } else { Offset::Offset(offset) };
            list.add_partition_offset(&topic, partition.number, offset)?;
        }
        Ok(list)
    }

    fn send(&self, input: Input) {
        if self.inputs.send(input).is_err() {
            debug!("the worker has ended");
        }
    }
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

fn decode(context: &Context, message: &rdkafka::message::BorrowedMessage<'_>) -> Option<Record> {
    let partition = context.partition(message.topic(), message.partition())?;
    let appended_at = message.timestamp().to_millis().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
        .unwrap_or_default();
    let value = message.payload().unwrap_or_default();
    let decoded = Event::decode(events::Record { topic: partition.topic, headers: &headers, value });
    let outcome = match decoded {
        Ok(event) if event.envelope.time > appended_at + MAX_TIME_AHEAD => Err(format!(
            "the event's time {} is more than an hour ahead of {appended_at}, when it was appended",
            event.envelope.time
        )),
        Ok(event) => Ok(event),
        Err(error) => Err(causes(&error).to_string()),
    };
    let outcome = outcome.map_err(|cause| {
        Box::new(Refused {
            cause,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message
                .headers()
                .map(|headers| {
                    headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
                })
                .unwrap_or_default(),
            kept: false,
        })
    });
    Some(Record { partition, offset: message.offset(), appended_at, bytes: value.len() + 200, outcome })
}
