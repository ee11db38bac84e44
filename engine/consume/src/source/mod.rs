//! Kafka as a source of decoded records. A thread of its own polls and never blocks on folding; the worker decides
//! where each partition begins and when it is released.

mod context;
mod poller;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as thread_channel};
use std::time::Duration;

use jangbogo_events::Topic;
use jangbogo_fold::BatchPolicy;
use jangbogo_log::{Partition, Record};
use jangbogo_platform::config::Connections;
use jangbogo_store::Checkpoint;
use jangbogo_telemetry::CheckHandle;
use prometheus::{IntCounter, IntGaugeVec};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use self::context::Context;
use self::poller::Poller;

/// Timeout of leaving the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(4);

/// From the source to the worker. Order for each partition: assigned, started, records, revoked.
#[derive(Debug)]
pub enum Input {
    /// The group assigned these partitions: acquire them and reply with [`Command::Start`].
    Assigned(Vec<Partition>),
    /// Records of these partitions from here on begin at the requested offset.
    Started(Vec<Partition>),
    Records(Vec<Record>),
    /// The group revokes these: finish and reply with [`Command::Release`].
    Revoked(Vec<Partition>),
    /// Partitions that this worker was fenced from but still owns in the group: acquire them again.
    Retained(Vec<Partition>),
    /// The consumer has failed for good.
    Failed(KafkaError),
}

/// From the worker to the source.
#[derive(Debug)]
pub enum Command {
    /// Read these assigned partitions from their checkpoints.
    Start(Vec<Checkpoint>),
    /// Read these assigned partitions from the group's committed offsets, or from the beginning where it has none.
    StartAtCommitted(Vec<Partition>),
    /// Read these retained partitions from their checkpoints.
    Reread(Vec<Checkpoint>),
    /// These revoked partitions are finished: confirm the revocation.
    Release(Vec<Partition>),
    /// All records before these offsets are folded.
    Folded(Vec<(Partition, i64)>),
    /// This worker was fenced from these: check with the group whether it still owns them.
    Verify(Vec<(Partition, i64)>),
}

/// The worker's handle of a source.
#[derive(Debug)]
pub struct Source {
    inputs: mpsc::UnboundedReceiver<Input>,
    commands: thread_channel::Sender<Command>,
    queued_bytes: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    /// Closed when the thread ends.
    ended: oneshot::Receiver<()>,
}

/// Offset reset policy: where a partition without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// Every offset comes from a checkpoint, and one that Kafka does not have is an error.
    Fail,
    Earliest,
}

/// Settings of a source.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Consumer group, without the namespace.
    pub group: String,
    pub topics: Vec<Topic>,
    pub offset_reset: OffsetReset,
    /// The broker responds at once, or lingers for larger batches.
    pub batch_policy: BatchPolicy,
    /// `group.instance.id` of static membership, without the group's name: unique in the group. None for a dynamic
    /// member.
    pub instance: Option<String>,
    /// Positions whose dead letters were discarded by an operator.
    pub discarded: Arc<HashSet<(Partition, i64)>>,
    /// Consumer lag, by topic and partition.
    pub lag: IntGaugeVec,
    pub rebalances: IntCounter,
    /// Readiness check of Kafka.
    pub check: CheckHandle,
}

impl Source {
    /// Joins the group and starts the polling thread.
    ///
    /// # Errors
    /// When the client's configuration is invalid.
    pub fn open(connections: &Connections, options: SourceOptions) -> KafkaResult<Source> {
        let group = connections.namespace.group(&options.group);
        let reset = match options.offset_reset {
            OffsetReset::Fail => "error",
            OffsetReset::Earliest => "earliest",
        };
        // The broker responds once it has this number of bytes, or after this time.
        let (fetch_bytes, fetch_wait) = match options.batch_policy {
            BatchPolicy::Immediate => ("1", Duration::from_millis(50)),
            BatchPolicy::Linger => ("65536", options.batch_policy.linger()),
        };
        let mut config = connections.kafka_client(&group);
        config
            .set("group.id", &group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", reset)
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("max.poll.interval.ms", "60000")
            .set("fetch.min.bytes", fetch_bytes)
            .set("fetch.wait.max.ms", fetch_wait.as_millis().to_string())
            .set("fetch.error.backoff.ms", "50")
            // By default a partition whose queue is full is not fetched for a second, in which the queue runs dry.
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.message.max.bytes", "1048576")
            .set("statistics.interval.ms", "1000");
        if let Some(instance) = &options.instance {
            config.set("group.instance.id", format!("{group}-{instance}"));
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let topics: Vec<String> = options.topics.iter().map(|topic| connections.namespace.topic(*topic)).collect();
        let context = Context::new(connections, options, Arc::clone(&stopping));
        let consumer: BaseConsumer<Context> = config.create_with_context(context)?;
        consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (to_worker, inputs) = mpsc::unbounded_channel();
        let (commands, from_worker) = thread_channel::channel();
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let poller = Poller::new(consumer, to_worker, from_worker, Arc::clone(&queued_bytes));
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

    /// The next input if one is queued.
    pub fn try_next(&mut self) -> Option<Input> {
        self.inputs.try_recv().ok()
    }

    /// Sends a command; a source that has ended ignores it.
    pub fn send(&self, command: Command) {
        if self.commands.send(command).is_err() {
            debug!("kafka source has ended");
        }
    }

    /// Releases queue capacity: this number of bytes is processed.
    pub fn consumed(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Leaves the group, unless Kafka is unavailable.
    pub async fn close(mut self) {
        self.stopping.store(true, Ordering::Release);
        if tokio::time::timeout(LEAVE_TIMEOUT, &mut self.ended).await.is_err() {
            warn!("kafka unavailable; this member leaves the group when its session times out");
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}
