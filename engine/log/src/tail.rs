//! The newest records of the log, as they are appended, read without a group: for programs that wait for something to
//! happen and then look at what was folded.
//!
//! A tail begins at the log's end, and begins there again when Kafka no longer has the place where it was. Whoever must not
//! miss anything takes that as a sign to look at everything once the fold has passed where the tail began.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jangbogo_events::{Event, Topic};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_platform::namespace::Namespace;
use jangbogo_telemetry::causes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::decode::decode;
use crate::end_offsets::{OffsetsError, ends_of, partitions_of};
use crate::{Offsets, Partition};

/// The longest the thread waits for records before it looks whether it is still wanted.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// The pause after Kafka refused.
const PAUSE: Duration = Duration::from_millis(500);
/// What waits to be taken; then the thread waits.
const QUEUE: usize = 1024;

/// What a tail tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailEvent<T> {
    /// It reads on from the log's end, which is here. Records before that may have gone unseen.
    Began(Offsets),
    /// Something was appended.
    Appended(Appended<T>),
}

/// A record that somebody is interested in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended<T> {
    /// Where it stands.
    pub partition: Partition,
    /// There.
    pub offset: i64,
    /// When it was first appended: see [`crate::append_time`].
    pub at: DateTime<Utc>,
    /// What is of interest in it.
    pub what: T,
}

/// A thread that reads, and the end where it tells.
#[derive(Debug)]
pub struct Tail<T> {
    told: mpsc::Receiver<TailEvent<T>>,
    seen: Seen,
    stopping: Arc<AtomicBool>,
}

/// How far a tail has looked. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Offsets>>);

impl Seen {
    /// The offset behind the last record whose interest was asked for, or is being asked for, in each partition; nothing
    /// before the tail has found the log's end.
    #[must_use]
    pub fn offsets(&self) -> Offsets {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn advance(&self, partition: Partition, next: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, next);
    }

    fn begin(&self, offsets: Offsets) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = offsets;
    }
}

impl<T: Send + 'static> Tail<T> {
    /// Begins to read. `interest` says of each event whether it is told, and what of it; what is no event is not.
    ///
    /// # Errors
    /// When the client's configuration is refused.
    pub fn start(
        connections: &Connections,
        client: &str,
        topics: BTreeSet<Topic>,
        interest: impl Fn(&Event) -> Option<T> + Send + 'static,
    ) -> Result<Self, KafkaError> {
        let consumer = connections
            .kafka_client(client)
            // The client wants a name; it joins no group.
            .set("group.id", client)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.message.max.bytes", "524288")
            .create_with_context(QuietContext)?;
        let (sender, told) = mpsc::channel(QUEUE);
        let (seen, stopping) = (Seen::default(), Arc::new(AtomicBool::new(false)));
        let reading = Reading {
            consumer,
            namespace: connections.namespace.clone(),
            topics,
            interest,
            told: sender,
            seen: seen.clone(),
            stopping: Arc::clone(&stopping),
        };
        thread::Builder::new()
            .name("kafka-tail".to_owned())
            .spawn(move || reading.run())
            .map_err(|error| KafkaError::ClientCreation(format!("no thread can be started: {error}")))?;
        Ok(Self { told, seen, stopping })
    }

    /// What comes next. Outages are waited for; none comes only after the thread has ended.
    pub async fn next(&mut self) -> Option<TailEvent<T>> {
        self.told.recv().await
    }

    /// How far it has looked.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }
}

impl<T> Drop for Tail<T> {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

/// Nobody listens any more.
struct ReceiverDropped;

struct Reading<T, I> {
    consumer: BaseConsumer<QuietContext>,
    namespace: Namespace,
    topics: BTreeSet<Topic>,
    interest: I,
    told: mpsc::Sender<TailEvent<T>>,
    seen: Seen,
    stopping: Arc<AtomicBool>,
}

impl<T, I: Fn(&Event) -> Option<T>> Reading<T, I> {
    fn run(self) {
        let mut failing = false;
        while !self.stopping.load(Ordering::Acquire) {
            match self.begin() {
                Ok(began) => {
                    if std::mem::take(&mut failing) {
                        info!("the log's tail is read again");
                    }
                    if self.tell(TailEvent::Began(began)).and_then(|()| self.follow()).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%error, "the log's tail cannot be read; trying again");
                    }
                }
            }
            thread::sleep(PAUSE);
        }
    }

    /// Finds the end and reads on from there.
    fn begin(&self) -> Result<Offsets, OffsetsError> {
        let refused = |error: KafkaError| OffsetsError::Kafka(causes(&error).to_string());
        let partitions = partitions_of(&self.consumer, &self.namespace, &self.topics)?;
        let ends = ends_of(&self.consumer, &self.namespace, &partitions)?;
        let mut list = TopicPartitionList::new();
        for (partition, end) in &ends {
            let topic = self.namespace.topic(partition.topic);
            list.add_partition_offset(&topic, partition.number, Offset::Offset(*end)).map_err(refused)?;
        }
        self.consumer.assign(&list).map_err(refused)?;
        self.seen.begin(ends.clone());
        Ok(ends)
    }

    /// Tells what is appended, until Kafka no longer has what comes next.
    fn follow(&self) -> Result<(), ReceiverDropped> {
        let nothing_discarded = HashSet::new();
        while !self.stopping.load(Ordering::Acquire) {
            match self.consumer.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => {
                    let Some(record) = decode(&self.namespace, &nothing_discarded, &message) else { continue };
                    // First: whoever begins to be interested meanwhile sees either the record or that it was passed.
                    self.seen.advance(record.partition, record.offset + 1);
                    let Some(what) = record.outcome.as_ref().ok().and_then(&self.interest) else { continue };
                    let (partition, offset, at) = (record.partition, record.offset, record.appended_at);
                    self.tell(TailEvent::Appended(Appended { partition, offset, at, what }))?;
                }
                Some(Err(error)) if is_lost(&error) => {
                    warn!(error = %causes(&error), "the log's tail is lost: beginning at its end again");
                    return Ok(());
                }
                // The client connects again by itself.
                Some(Err(_)) | None => {}
            }
        }
        Err(ReceiverDropped)
    }

    fn tell(&self, tailed: TailEvent<T>) -> Result<(), ReceiverDropped> {
        self.told.blocking_send(tailed).map_err(|_| ReceiverDropped)
    }
}

/// Whether the place that is read no longer exists.
fn is_lost(error: &KafkaError) -> bool {
    let lost = [
        RDKafkaErrorCode::AutoOffsetReset,
        RDKafkaErrorCode::OffsetOutOfRange,
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
        RDKafkaErrorCode::Fatal,
    ];
    error.rdkafka_error_code().is_some_and(|code| lost.contains(&code))
}
