//! Reads offset ranges of any partitions of the log as events, on a thread of its own, without a consumer group.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_platform::namespace::Namespace;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::mpsc;

use crate::decode::decode;
use crate::groupless::{self, POLL_TIMEOUT, Polled};
use crate::{Offsets, Partition, Record};

/// Timeout of a request for metadata or offsets.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of records handed over at once.
const GROUP_RECORDS: usize = 500;
/// Capacity of the queue of groups; when it is full the thread blocks (backpressure).
const WAITING_GROUPS: usize = 8;

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Kafka is unavailable or rejects a request.
    #[error("cannot read the log from kafka")]
    Kafka(#[from] KafkaError),
    /// A topic, by its name in Kafka, does not exist.
    #[error("topic {0} does not exist; `jangbogo topology apply` creates it")]
    NoTopic(String),
    /// Retention or a deletion has removed records that should be read.
    #[error("records at the start of the log are gone: {}; they cannot be folded again", gone.join(", "))]
    LostHead {
        /// A text for each partition: `order-completed/3 offsets 0 to 41`.
        gone: Vec<String>,
    },
}

impl LogError {
    /// True if a retry may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Kafka(_))
    }

    /// Checks that every partition is complete from offset 0.
    ///
    /// # Errors
    /// [`LogError::LostHead`] with the missing offsets.
    pub fn check_heads(bounds: &BTreeMap<Partition, Bounds>) -> Result<(), LogError> {
        let lost = bounds.iter().filter(|(_, bounds)| bounds.begin > 0);
        let gone: Vec<String> = lost.map(|(partition, bounds)| gone_offsets(*partition, 0, bounds.begin)).collect();
        if gone.is_empty() { Ok(()) } else { Err(LogError::LostHead { gone }) }
    }
}

/// The offset range of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Offset of the first record; 0 unless retention removed something.
    pub begin: i64,
    /// Offset of the next record to be appended.
    pub end: i64,
}

/// The offset range of every partition of topics.
///
/// # Errors
/// When Kafka is unavailable or a topic does not exist.
pub async fn bounds(connections: &Connections, topics: Vec<Topic>) -> Result<BTreeMap<Partition, Bounds>, LogError> {
    let connections = connections.clone();
    // The client blocks.
    let requested = tokio::task::spawn_blocking(move || {
        let consumer = consumer(&connections, "replay-bounds")?;
        let names: Vec<String> = topics.iter().map(|topic| connections.namespace.topic(*topic)).collect();
        let mut ranges_by_topic = groupless::ranges(&consumer, &names, TIMEOUT)?;
        let mut bounds = BTreeMap::new();
        for (topic, name) in topics.into_iter().zip(names) {
            let Some(ranges) = ranges_by_topic.remove(&name) else { return Err(LogError::NoTopic(name)) };
            let ranges = (0..)
                .zip(ranges)
                .map(|(number, range)| (Partition { topic, number }, Bounds { begin: range.start, end: range.end }));
            bounds.extend(ranges);
        }
        Ok(bounds)
    });
    requested.await.unwrap_or(Err(LogError::Kafka(KafkaError::Canceled)))
}

/// Partitions, offsets and rate of a [`RangeReader`].
#[derive(Clone, Debug)]
pub struct RangeOptions {
    /// Client id in Kafka.
    pub client: String,
    /// First offset of each partition that is read.
    pub from: Offsets,
    /// End offset (exclusive) of each partition; one that is absent is read without end.
    pub until: Offsets,
    /// Rate limit, in records a second.
    pub max_rate: Option<f64>,
    /// Positions discarded by an operator: they are read as refused, even if they decode.
    pub discarded: Arc<HashSet<(Partition, i64)>>,
}

/// The receiving side of a reading thread, which ends when this is dropped.
#[derive(Debug)]
pub struct RangeReader {
    groups: mpsc::Receiver<Result<Vec<Record>, LogError>>,
    stopping: Arc<AtomicBool>,
}

impl RangeReader {
    /// # Errors
    /// When the client's configuration is invalid or no thread can be started.
    pub fn open(connections: &Connections, options: RangeOptions) -> Result<RangeReader, LogError> {
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
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || reading.run())
            .map_err(|error| LogError::Kafka(KafkaError::ClientCreation(format!("cannot start a thread: {error}"))))?;
        Ok(RangeReader { groups, stopping })
    }

    /// The next records, in the order of each partition; none once every partition has reached its end.
    ///
    /// # Errors
    /// When Kafka rejects a request or lacks a record. Outages are waited for.
    pub async fn next(&mut self) -> Option<Result<Vec<Record>, LogError>> {
        self.groups.recv().await
    }

    /// The next records and those that arrive within the linger time, up to about this number of bytes.
    ///
    /// # Errors
    /// See [`next`](Self::next).
    pub async fn next_chunk(&mut self, bytes: usize, linger: Duration) -> Option<Result<Vec<Record>, LogError>> {
        let mut chunk = match self.next().await? {
            Ok(records) => records,
            Err(error) => return Some(Err(error)),
        };
        let size = |records: &[Record]| records.iter().map(|record| record.bytes).sum::<usize>();
        let deadline = tokio::time::Instant::now() + linger;
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

impl Drop for RangeReader {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

fn consumer(connections: &Connections, client: &str) -> KafkaResult<BaseConsumer<QuietContext>> {
    groupless::config(connections, client)
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        // Bounds memory for any number of partitions: by default a response may hold 50 MB, compressed.
        .set("fetch.max.bytes", "2097152")
        .set("fetch.message.max.bytes", "524288")
        .set("queued.min.messages", "5000")
        .set("queued.max.messages.kbytes", "4096")
        .create_with_context(QuietContext)
}

struct Reading {
    consumer: BaseConsumer<QuietContext>,
    namespace: Namespace,
    options: RangeOptions,
    /// Offset of the next record of each partition.
    next: Offsets,
    groups: mpsc::Sender<Result<Vec<Record>, LogError>>,
    stopping: Arc<AtomicBool>,
}

impl Reading {
    fn run(&mut self) {
        if let Err(error) = self.read() {
            // The receiver may have been dropped.
            let _ = self.groups.blocking_send(Err(error));
        }
    }

    fn read(&mut self) -> Result<(), LogError> {
        let unread = self.next.iter().filter(|(partition, offset)| !self.is_at_end(**partition, **offset));
        let positions =
            unread.map(|(partition, offset)| (self.namespace.topic(partition.topic), partition.number, *offset));
        groupless::assign(&self.consumer, positions)?;
        let started = Instant::now();
        let mut sent = 0_usize;
        while !self.stopping.load(Ordering::Acquire) && !self.has_ended() {
            let group = self.next_group()?;
            if group.is_empty() {
                continue;
            }
            sent += group.len();
            if self.groups.blocking_send(Ok(group)).is_err() {
                return Ok(());
            }
            if let Some(rate) = self.options.max_rate {
                #[expect(clippy::cast_precision_loss, reason = "a pause need not be exact")]
                self.sleep_until(started + Duration::from_secs_f64(sent as f64 / rate));
            }
        }
        Ok(())
    }

    /// Sleeps until `due`, or until the receiver is dropped.
    fn sleep_until(&self, due: Instant) {
        while !self.stopping.load(Ordering::Acquire) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(POLL_TIMEOUT));
        }
    }

    /// Maximum number of records handed over at once: at a limited rate, a tenth of a second's.
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

    /// Records that have arrived; waits for the first only.
    fn next_group(&mut self) -> Result<Vec<Record>, LogError> {
        let mut group = Vec::new();
        let mut timeout = POLL_TIMEOUT;
        let size = self.group_size();
        while group.len() < size {
            match groupless::poll(&self.consumer, timeout) {
                Polled::Record(message) => {
                    let Some(record) = decode(&self.namespace, &self.options.discarded, &message) else { continue };
                    let next = self.next.entry(record.partition).or_default();
                    let is_expected = record.offset >= *next;
                    let end = self.options.until.get(&record.partition);
                    if is_expected && end.is_none_or(|end| record.offset < *end) {
                        *next = record.offset + 1;
                        group.push(record);
                    }
                }
                Polled::EndOfPartition(_) => self.skip_empty_offsets()?,
                Polled::Idle | Polled::Unavailable(_) => break,
                Polled::OffsetLost(error) => return Err(self.lost_head(error)),
                Polled::Failed(error) => return Err(error.into()),
            }
            timeout = Duration::ZERO;
        }
        Ok(group)
    }

    /// Advances to the client's positions: a partition may end with offsets that hold no record.
    fn skip_empty_offsets(&mut self) -> Result<(), LogError> {
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
            if let Ok((begin, _)) = self.consumer.fetch_watermarks(&topic, partition.number, TIMEOUT)
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
