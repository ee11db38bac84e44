//! Kafka as a source of decoded records. A thread of its own polls without ever waiting for work; the worker says
//! where each partition begins and when it may be given back.

mod context;
mod poller;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as thread_channel};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jangbogo_events::{Event, Topic};
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

/// How long leaving the group may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

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
    /// Read these assigned partitions from the group's committed offsets, or from the beginning where it has none.
    StartAtCommitted(Vec<Partition>),
    /// Read these retained partitions from their checkpoints.
    Reread(Vec<Checkpoint>),
    /// These partitions may go to others.
    Release(Vec<Partition>),
    /// Everything before these offsets is folded.
    Folded(Vec<(Partition, i64)>),
    /// Another worker has taken these over: ask the group whether they are still ours.
    Verify(Vec<(Partition, i64)>),
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

/// Who begins where the group has no place yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// Nobody: every place is given by a checkpoint, and one that Kafka does not have is an error.
    Fail,
    /// The beginning of the log.
    Earliest,
}

/// What a source reads as.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The group, without a namespace.
    pub group: String,
    /// What it reads.
    pub topics: Vec<Topic>,
    /// What becomes of a place that is not there.
    pub offset_reset: OffsetReset,
    /// How soon.
    pub batch_policy: BatchPolicy,
    /// Static membership: unique in the group. None for a member that leaves when it stops.
    pub instance: Option<String>,
    /// Positions whose dead letters somebody has discarded.
    pub discarded: Arc<HashSet<(Partition, i64)>>,
    /// How far the group is behind, by topic and partition.
    pub lag: IntGaugeVec,
    /// How often the group gave partitions or took them back.
    pub rebalances: IntCounter,
    /// Kafka's readiness.
    pub check: CheckHandle,
}

impl Source {
    /// Joins the group and begins to poll.
    ///
    /// # Errors
    /// When the configuration is refused.
    pub fn open(connections: &Connections, options: SourceOptions) -> KafkaResult<Source> {
        let group = connections.namespace.group(&options.group);
        let reset = match options.offset_reset {
            OffsetReset::Fail => "error",
            OffsetReset::Earliest => "earliest",
        };
        // The broker answers once there are so many bytes, or after so long.
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
