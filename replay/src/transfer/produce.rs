//! Produces records to the partitions that they came from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_platform::progress::Progress;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::record::LogRecord;
use super::topics::ShopTopic;

/// Timeout of an acknowledgement: a longer outage ends the import.
const DELIVERY_TIMEOUT_MS: &str = "300000";
/// Pause before a record is sent again to a full queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// Idempotent producer with `acks=all` and without gaps: a failed import has produced a prefix of each file.
pub struct RecordProducer {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
}

#[derive(Clone)]
struct Deliveries {
    progress: Progress,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
    moved: Arc<AtomicBool>,
}

impl RecordProducer {
    /// Connects when the first record is sent. Acknowledged records advance the progress.
    pub fn new(connections: &Connections, progress: Progress) -> anyhow::Result<Self> {
        let deliveries = Deliveries { progress, failure: Arc::default(), moved: Arc::default() };
        let mut config = connections.kafka_producer("jangbogo-transfer");
        config
            .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
            .set("enable.gapless.guarantee", "true")
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.kbytes", "65536");
        let producer = config.create_with_context(deliveries.clone()).context("cannot create a Kafka producer")?;
        Ok(Self { producer, deliveries })
    }

    /// Sends a record; blocks while the queue is full (backpressure).
    pub fn send(&self, topic: &ShopTopic, partition: i32, record: &LogRecord) -> anyhow::Result<()> {
        let offset = usize::try_from(record.offset)?;
        let mut message: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&topic.kafka_name, offset);
        message.partition = Some(partition);
        message.key = record.key.as_ref().map(|key| key.0.as_slice());
        message.payload = record.value.as_ref().map(|value| value.0.as_slice());
        message.headers = (!record.headers.is_empty()).then(|| record.kafka_headers());
        loop {
            self.check()?;
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    thread::sleep(QUEUE_FULL_PAUSE);
                }
                Err((error, _)) => {
                    self.check()?;
                    let position =
                        format!("cannot send the record of offset {offset} to {}/{partition}", topic.kafka_name);
                    return Err(error).context(position);
                }
            }
        }
    }

    /// Waits until all records are acknowledged. Returns true if one has another offset than in the export.
    pub fn finish(&self) -> anyhow::Result<bool> {
        while self.producer.in_flight_count() > 0 {
            self.check()?;
            match self.producer.flush(Duration::from_millis(200)) {
                Ok(()) | Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {}
                Err(error) => return Err(error).context("the Kafka producer stopped"),
            }
        }
        self.check()?;
        Ok(self.deliveries.moved.load(Ordering::Relaxed))
    }

    fn check(&self) -> anyhow::Result<()> {
        self.deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, original_offset: usize) {
        match result {
            Ok(message) => {
                if usize::try_from(message.offset()) != Ok(original_offset) {
                    self.moved.store(true, Ordering::Relaxed);
                }
                self.progress.advance(1);
            }
            Err((error, message)) => {
                let partition = format!("{}/{}", message.topic(), message.partition());
                let failure = anyhow::Error::new(error.clone())
                    .context(format!("kafka rejected the record of offset {original_offset} on {partition}"));
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
            }
        }
    }
}
