//! Kafka's log without a group: whichever partitions one likes, from one offset up to another.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_platform::namespace::Namespace;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::decode::decode;
use crate::{Offsets, Partition, Record};

/// How long a question to Kafka may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The longest a thread waits for records before it looks whether it is still wanted.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Records are handed over in groups of at most this many.
const GROUP_RECORDS: usize = 500;
/// Groups that wait to be folded; then the thread waits.
const WAITING_GROUPS: usize = 8;

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Kafka is away or refuses.
    #[error("kafka does not answer as it should")]
    Kafka(#[from] KafkaError),
    /// A topic that is folded is not there.
    #[error("there is no topic {0}: `jangbogo topology apply` creates it")]
    NoTopic(String),
    /// Retention or a deletion has removed what should be read.
    #[error("the log has lost its head: {}; what is gone cannot be folded again", gone.join(", "))]
    LostHead {
        /// Which offsets, by partition.
        gone: Vec<String>,
    },
}

impl LogError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Kafka(_))
    }
}

/// The first offset of a partition that is there, and the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// 0 unless retention removed something.
    pub begin: i64,
    /// Where the next record will stand.
    pub end: i64,
}

/// The bounds of every partition of topics.
///
/// # Errors
/// When Kafka is away or a topic is missing.
pub async fn bounds(connections: &Connections, topics: Vec<Topic>) -> Result<BTreeMap<Partition, Bounds>, LogError> {
    let connections = connections.clone();
    // The client blocks.
    let asked = tokio::task::spawn_blocking(move || {
        let consumer = consumer(&connections, "replay-bounds")?;
        let mut found = BTreeMap::new();
        for topic in topics {
            let name = connections.namespace.topic(topic);
            let metadata = consumer.fetch_metadata(Some(&name), TIME_LIMIT)?;
            let described = metadata.topics().iter().find(|described| described.name() == name);
            let partitions = described.filter(|described| described.error().is_none()).map(MetadataTopic::partitions);
            let Some(partitions) = partitions.filter(|partitions| !partitions.is_empty()) else {
                return Err(LogError::NoTopic(name));
            };
            for partition in partitions {
                let (begin, end) = consumer.fetch_watermarks(&name, partition.id(), TIME_LIMIT)?;
                found.insert(Partition { topic, number: partition.id() }, Bounds { begin, end });
            }
        }
        Ok(found)
    });
    asked.await.unwrap_or(Err(LogError::Kafka(KafkaError::Canceled)))
}

/// What is read.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Kafka's name for the client.
    pub client: String,
    /// The partitions, and where each begins.
    pub from: Offsets,
    /// Where each ends; a partition that is not named has no end.
    pub until: Offsets,
    /// At most so many records a second.
    pub max_rate: Option<f64>,
    /// Positions that somebody has discarded: they are read as refused, even if they could be read.
    pub discarded: Arc<HashSet<(Partition, i64)>>,
}

/// A thread that reads, and the end where records come out.
#[derive(Debug)]
pub struct Log {
    groups: mpsc::Receiver<Result<Vec<Record>, LogError>>,
    stopping: Arc<AtomicBool>,
}

impl Log {
    /// Begins to read.
    ///
    /// # Errors
    /// When the client's configuration is refused.
    pub fn open(connections: &Connections, options: LogOptions) -> Result<Log, LogError> {
        let (sender, groups) = mpsc::channel(WAITING_GROUPS);
        let stopping = Arc::new(AtomicBool::new(false));
        let mut reading = Reading {
            consumer: consumer(connections, &options.client)?,
            namespace: connections.namespace.clone(),
            next: options.from.clone(),
            options,
            groups: sender,
            stopping: Arc::clone(&stopping),
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || reading.run()).map_err(|error| {
            LogError::Kafka(KafkaError::ClientCreation(format!("no thread can be started: {error}")))
        })?;
        Ok(Log { groups, stopping })
    }

    /// The next records, in the order of each partition; none after the last of every partition that has an end.
    ///
    /// # Errors
    /// When Kafka refuses; outages are waited for.
    pub async fn next(&mut self) -> Option<Result<Vec<Record>, LogError>> {
        self.groups.recv().await
    }

    /// The next records and those that come within the patience, until there are about so many bytes.
    ///
    /// # Errors
    /// When Kafka refuses; outages are waited for.
    pub async fn next_chunk(&mut self, bytes: usize, patience: Duration) -> Option<Result<Vec<Record>, LogError>> {
        let mut chunk = match self.next().await? {
            Ok(records) => records,
            Err(error) => return Some(Err(error)),
        };
        let size = |records: &[Record]| records.iter().map(|record| record.bytes).sum::<usize>();
        let deadline = tokio::time::Instant::now() + patience;
        let mut taken = size(&chunk);
        while taken < bytes {
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(Some(Ok(records))) => {
                    taken += size(&records);
                    chunk.extend(records);
                }
                Ok(Some(Err(error))) => return Some(Err(error)),
                Ok(None) | Err(_) => break,
            }
        }
        Some(Ok(chunk))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

fn consumer(connections: &Connections, client: &str) -> KafkaResult<BaseConsumer<QuietContext>> {
    connections
        .kafka_client(client)
        // The client wants a name; it joins no group.
        .set("group.id", client)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        // However many partitions there are: by default an answer may hold 50 MB, compressed.
        .set("fetch.max.bytes", "2097152")
        .set("fetch.message.max.bytes", "524288")
        .set("queued.min.messages", "5000")
        .set("queued.max.messages.kbytes", "4096")
        .create_with_context(QuietContext)
}

struct Reading {
    consumer: BaseConsumer<QuietContext>,
    namespace: Namespace,
    options: LogOptions,
    /// What comes next in each partition.
    next: Offsets,
    groups: mpsc::Sender<Result<Vec<Record>, LogError>>,
    stopping: Arc<AtomicBool>,
}

impl Reading {
    fn run(&mut self) {
        if let Err(error) = self.read() {
            // Nobody may be there any more.
            let _ = self.groups.blocking_send(Err(error));
        }
    }

    fn read(&mut self) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in self.next.iter().filter(|(partition, offset)| !self.is_at_end(**partition, **offset))
        {
            let topic = self.namespace.topic(partition.topic);
            list.add_partition_offset(&topic, partition.number, Offset::Offset(*offset))?;
        }
        self.consumer.assign(&list)?;
        let started = Instant::now();
        let mut sent = 0_usize;
        while !self.stopping.load(Ordering::Acquire) && !self.has_ended() {
            let group = self.group()?;
            if group.is_empty() {
                continue;
            }
            sent += group.len();
            if self.groups.blocking_send(Ok(group)).is_err() {
                return Ok(());
            }
            if let Some(rate) = self.options.max_rate {
                #[expect(clippy::cast_precision_loss, reason = "a pause need not be exact")]
                self.rest_until(started + Duration::from_secs_f64(sent as f64 / rate));
            }
        }
        Ok(())
    }

    /// Waits, unless nobody wants the records any more.
    fn rest_until(&self, due: Instant) {
        while !self.stopping.load(Ordering::Acquire) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(POLL_TIMEOUT));
        }
    }

    /// How many records are handed over together: at a limited rate, a tenth of a second's.
    fn group_size(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is clamped, and need not be exact"
        )]
        let slow = |rate: f64| (rate / 10.0) as usize;
        self.options.max_rate.map_or(GROUP_RECORDS, |rate| slow(rate).clamp(1, GROUP_RECORDS))
    }

    fn is_at_end(&self, partition: Partition, next: i64) -> bool {
        self.options.until.get(&partition).is_some_and(|end| next >= *end)
    }

    fn has_ended(&self) -> bool {
        self.next.iter().all(|(partition, next)| self.is_at_end(*partition, *next))
    }

    /// What has arrived, waiting only for the first record.
    fn group(&mut self) -> Result<Vec<Record>, LogError> {
        let mut group = Vec::new();
        let mut timeout = POLL_TIMEOUT;
        let size = self.group_size();
        while group.len() < size {
            match self.consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    let Some(record) = decode(&self.namespace, &self.options.discarded, &message) else { continue };
                    let next = self.next.entry(record.partition).or_default();
                    let is_expected = record.offset >= *next;
                    let end = self.options.until.get(&record.partition);
                    if is_expected && end.is_none_or(|end| record.offset < *end) {
                        *next = record.offset + 1;
                        group.push(record);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.note_positions()?,
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => {
                        return Err(self.lost_head(error));
                    }
                    // The client connects again by itself.
                    Some(
                        RDKafkaErrorCode::AllBrokersDown
                        | RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::Resolve
                        | RDKafkaErrorCode::OperationTimedOut
                        | RDKafkaErrorCode::NotLeaderForPartition
                        | RDKafkaErrorCode::LeaderNotAvailable,
                    ) => break,
                    _ => return Err(error.into()),
                },
            }
            timeout = Duration::ZERO;
        }
        Ok(group)
    }

    /// A partition may end with offsets that hold no record.
    fn note_positions(&mut self) -> Result<(), LogError> {
        for element in self.consumer.position()?.elements() {
            let Some(topic) = self.namespace.topic_of(element.topic()) else { continue };
            let partition = Partition { topic, number: element.partition() };
            if let (Offset::Offset(offset), Some(next)) = (element.offset(), self.next.get_mut(&partition)) {
                *next = (*next).max(offset);
            }
        }
        Ok(())
    }

    fn lost_head(&self, error: KafkaError) -> LogError {
        let mut gone = Vec::new();
        for (partition, next) in &self.next {
            let topic = self.namespace.topic(partition.topic);
            if let Ok((begin, _)) = self.consumer.fetch_watermarks(&topic, partition.number, TIME_LIMIT)
                && begin > *next
            {
                gone.push(gone_offsets(*partition, *next, begin));
            }
        }
        if gone.is_empty() { error.into() } else { LogError::LostHead { gone } }
    }
}

/// `order-completed/3 offsets 0 to 41`.
fn gone_offsets(partition: Partition, from: i64, begin: i64) -> String {
    format!("{partition} offsets {from} to {}", begin - 1)
}

impl LogError {
    /// Whether every partition is still whole from its start.
    ///
    /// # Errors
    /// Says which offsets are gone.
    pub fn check_heads(bounds: &BTreeMap<Partition, Bounds>) -> Result<(), LogError> {
        let lost = bounds.iter().filter(|(_, bounds)| bounds.begin > 0);
        let gone: Vec<String> = lost.map(|(partition, bounds)| gone_offsets(*partition, 0, bounds.begin)).collect();
        if gone.is_empty() { Ok(()) } else { Err(LogError::LostHead { gone }) }
    }
}
