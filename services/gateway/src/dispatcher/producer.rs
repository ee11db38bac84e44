//! Sends records so that the acknowledged ones of a key are always a prefix of the sent ones.
//!
//! The idempotent producer keeps the order of a partition through its own retries. What remains is a record that fails
//! permanently while later ones are in flight. Two settings prevent that: no record times out (an outage is waited
//! for), and `enable.gapless.guarantee` makes any other loss fatal to the producer. The relay then discards the
//! producer and starts again, in order, from the table.

use std::time::Duration;

use futures::channel::oneshot::Canceled;
use jangbogo_events::{Encoded, Topic};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::{QuietContext, headers};
use jangbogo_telemetry::CheckHandle;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Readiness fails when Kafka has acknowledged nothing for this long.
const SILENCE: Duration = Duration::from_secs(3);

/// Outcome of sending a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Delivery {
    /// All in-sync replicas have it.
    Acknowledged,
    /// Kafka rejects a record of this batch permanently, perhaps this one.
    Rejected(KafkaError),
    /// A retry may succeed.
    Failed(KafkaError),
}

/// A producer, used until the first failure, the loss of the lease, or shutdown.
pub(super) struct Producer {
    kafka: FutureProducer<QuietContext>,
}

impl Producer {
    pub(super) fn new(connections: &Connections) -> KafkaResult<Self> {
        let mut config = connections.kafka_producer("outbox-dispatcher");
        config
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            // Rows are already batched.
            .set("linger.ms", "0")
            // An unknown topic is reported sooner than after the default 30 s.
            .set("topic.metadata.propagation.max.ms", "5000");
        Ok(Self { kafka: config.create_with_context(QuietContext)? })
    }

    /// Enqueues all records in order, then waits for each delivery, however long Kafka is unavailable.
    pub(super) async fn send(&self, records: &[(String, Encoded)], check: &CheckHandle) -> Vec<Delivery> {
        let mut enqueued = Vec::with_capacity(records.len());
        let mut failed = None;
        for (topic, encoded) in records {
            match self.enqueue(topic, encoded) {
                Ok(delivery) => enqueued.push(delivery),
                Err(error) => {
                    // No later record may overtake it.
                    failed = Some(error);
                    break;
                }
            }
        }
        let mut deliveries = Vec::with_capacity(records.len());
        for delivery in enqueued {
            deliveries.push(outcome(wait(delivery, check).await));
        }
        if let Some(error) = failed {
            let rest = records.len() - deliveries.len();
            deliveries.extend(std::iter::repeat_n(failure(error), rest));
        }
        deliveries
    }

    fn enqueue(&self, topic: &str, encoded: &Encoded) -> KafkaResult<DeliveryFuture> {
        let record = FutureRecord::to(topic).key(&encoded.key).payload(&encoded.value).headers(headers(encoded));
        self.kafka.send_result(record).map_err(|(error, _)| error)
    }

    /// Fetches a topic's metadata, to check that Kafka answers.
    pub(super) async fn probe(&self, topic: String) -> KafkaResult<()> {
        let kafka = self.kafka.clone();
        let metadata =
            tokio::task::spawn_blocking(move || kafka.client().fetch_metadata(Some(&topic), PROBE_TIMEOUT).map(drop));
        metadata.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Drops unacknowledged records and closes the connections, which blocks.
    pub(super) async fn discard(self) {
        // A panic there needs no handling.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }
}

/// Topic whose metadata is fetched to check Kafka.
pub(super) const PROBED_TOPIC: Topic = Topic::OrderCompleted;

async fn wait(mut delivery: DeliveryFuture, check: &CheckHandle) -> Result<OwnedDeliveryResult, Canceled> {
    loop {
        match tokio::time::timeout(SILENCE, &mut delivery).await {
            Ok(outcome) => return outcome,
            Err(_) => check.failing("kafka unavailable: no acknowledgement, rows wait in the outbox"),
        }
    }
}

fn outcome(delivery: Result<OwnedDeliveryResult, Canceled>) -> Delivery {
    match delivery {
        Ok(Ok(_)) => Delivery::Acknowledged,
        Ok(Err((error, _))) => failure(error),
        Err(Canceled) => Delivery::Failed(KafkaError::Canceled),
    }
}

fn failure(error: KafkaError) -> Delivery {
    let rejected = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
        )
    );
    if rejected { Delivery::Rejected(error) } else { Delivery::Failed(error) }
}
