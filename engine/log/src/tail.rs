//! Follows the newest records of the log as they are appended, without a consumer group.
//!
//! A tail begins at the log's end, and begins there again when Kafka no longer has the offset that it was at. A
//! consumer that must not miss anything then reads everything once from the fold, as soon as the fold has passed the
//! tail's start.

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
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::decode::decode;
use crate::end_offsets::{OffsetsError, end_offsets, kafka_error, partition_counts};
use crate::groupless::{self, POLL_TIMEOUT, Polled};
use crate::{Offsets, Partition};

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// Capacity of the queue of events; when it is full the thread blocks (backpressure).
const QUEUE: usize = 1024;

/// An event of a tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailEvent<T> {
    /// Reading begins at these end offsets of the log. Earlier records may have been missed.
    Began(Offsets),
    Appended(Appended<T>),
}

/// An appended record that the subscription selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended<T> {
    pub partition: Partition,
    pub offset: i64,
    /// Time of the record's first append: see [`crate::append_time`].
    pub at: DateTime<Utc>,
    /// The part of the record that the subscription takes.
    pub value: T,
}

/// The receiving side of a reading thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Tail<T> {
    events: mpsc::Receiver<TailEvent<T>>,
    seen: Seen,
    stopping: Arc<AtomicBool>,
}

/// Read position of a tail. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Offsets>>);

impl Seen {
    /// For each partition the offset behind the last record that was, or is being, passed to the subscription. Empty
    /// until the tail has found the log's end.
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
    /// Starts the thread. `subscription` selects events and the part of each that is sent; refused records are skipped.
    ///
    /// # Errors
    /// When the client's configuration is invalid or no thread can be started.
    pub fn start(
        connections: &Connections,
        client: &str,
        topics: BTreeSet<Topic>,
        subscription: impl Fn(&Event) -> Option<T> + Send + 'static,
    ) -> Result<Self, KafkaError> {
        let consumer = groupless::config(connections, client)
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.message.max.bytes", "524288")
            .create_with_context(QuietContext)?;
        let (sender, events) = mpsc::channel(QUEUE);
        let (seen, stopping) = (Seen::default(), Arc::new(AtomicBool::new(false)));
        let reading = Reading {
            consumer,
            namespace: connections.namespace.clone(),
            topics,
            subscription,
            events: sender,
            seen: seen.clone(),
            stopping: Arc::clone(&stopping),
        };
        thread::Builder::new()
            .name("kafka-tail".to_owned())
            .spawn(move || reading.run())
            .map_err(|error| KafkaError::ClientCreation(format!("cannot start a thread: {error}")))?;
        Ok(Self { events, seen, stopping })
    }

    /// The next event; none only after the thread has ended. Outages are waited for.
    pub async fn next(&mut self) -> Option<TailEvent<T>> {
        self.events.recv().await
    }

    /// Shares the read position.
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

/// The [`Tail`] was dropped.
struct ReceiverDropped;

struct Reading<T, I> {
    consumer: BaseConsumer<QuietContext>,
    namespace: Namespace,
    topics: BTreeSet<Topic>,
    subscription: I,
    events: mpsc::Sender<TailEvent<T>>,
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
                        info!("log tail recovered");
                    }
                    if self.send(TailEvent::Began(began)).and_then(|()| self.follow()).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%error, "cannot read the log tail; retrying");
                    }
                }
            }
            thread::sleep(PAUSE);
        }
    }

    /// Assigns every partition from its end on.
    fn begin(&self) -> Result<Offsets, OffsetsError> {
        let partitions = partition_counts(&self.consumer, &self.namespace, &self.topics)?;
        let ends = end_offsets(&self.consumer, &self.namespace, &partitions)?;
        let positions =
            ends.iter().map(|(partition, end)| (self.namespace.topic(partition.topic), partition.number, *end));
        groupless::assign(&self.consumer, positions).map_err(kafka_error)?;
        self.seen.begin(ends.clone());
        Ok(ends)
    }

    /// Sends appended records, until Kafka no longer has the next offset.
    fn follow(&self) -> Result<(), ReceiverDropped> {
        let nothing_discarded = HashSet::new();
        while !self.stopping.load(Ordering::Acquire) {
            match groupless::poll(&self.consumer, POLL_TIMEOUT) {
                Polled::Record(message) => {
                    let Some(record) = decode(&self.namespace, &nothing_discarded, &message) else { continue };
                    // First: a subscriber that registers meanwhile sees either the record or that it was passed.
                    self.seen.advance(record.partition, record.offset + 1);
                    let Some(value) = record.outcome.as_ref().ok().and_then(&self.subscription) else { continue };
                    let (partition, offset, at) = (record.partition, record.offset, record.appended_at);
                    self.send(TailEvent::Appended(Appended { partition, offset, at, value }))?;
                }
                Polled::OffsetLost(error) | Polled::Failed(error) => {
                    warn!(error = %causes(&error), "log tail offset lost; restarting at the end");
                    return Ok(());
                }
                Polled::EndOfPartition(_) | Polled::Idle | Polled::Unavailable(_) => {}
            }
        }
        Err(ReceiverDropped)
    }

    fn send(&self, event: TailEvent<T>) -> Result<(), ReceiverDropped> {
        self.events.blocking_send(event).map_err(|_| ReceiverDropped)
    }
}
