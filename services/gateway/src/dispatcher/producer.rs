//! Sending records so that what was acknowledged of a key is always a beginning of what was sent.
//!
//! The idempotent producer keeps the order of a partition through its own retries. What remains is a record that fails
//! for good while later ones are on their way. Two settings close that: no record times out (an outage is waited for),
//! and `enable.gapless.guarantee` makes any other loss fatal to the producer, so that nothing behind it is accepted. The
//! relay then discards the producer and begins again, in order, from the table.

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
/// Readiness says so when Kafka has not acknowledged anything for this long.
const SILENCE: Duration = Duration::from_secs(3);

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Delivery {
    /// All replicas in sync have it.
    Acknowledged,
    /// Kafka will never take a record of this batch, perhaps this one.
    Impossible(KafkaError),
    /// It may go well another time.
    Failed(KafkaError),
}

/// One producer's life: until the first failure, a lost lease, or the end.
pub(super) struct Producer {
    kafka: FutureProducer<QuietContext>,
}

impl Producer {
    pub(super) fn new(connections: &Connections) -> KafkaResult<Self> {
        let mut config = connections.kafka_producer("outbox-dispatcher");
        config
            .set("enable.gapless.guarantee", "true")
            .set("message.timeout.ms", "0")
            // Rows that came together are handed over together: none waits for more.
            .set("linger.ms", "0")
            // A topic that does not exist is reported sooner than after the usual 30 s.
            .set("topic.metadata.propagation.max.ms", "5000");
        Ok(Self { kafka: config.create_with_context(QuietContext)? })
    }

    /// Hands all records over in their order, then waits for each one's fate, however long Kafka is away.
    pub(super) async fn send(&self, records: &[(String, Encoded)], check: &CheckHandle) -> Vec<Delivery> {
        let mut handed_over = Vec::with_capacity(records.len());
        let mut refused = None;
        for (topic, encoded) in records {
            match self.hand_over(topic, encoded) {
                Ok(delivery) => handed_over.push(delivery),
                Err(error) => {
                    // Nothing behind it may go first.
                    refused = Some(error);
                    break;
                }
            }
        }
        let mut deliveries = Vec::with_capacity(records.len());
        for delivery in handed_over {
            deliveries.push(outcome(wait(delivery, check).await));
        }
        if let Some(error) = refused {
            let rest = records.len() - deliveries.len();
            deliveries.extend(std::iter::repeat_n(failure(error), rest));
        }
        deliveries
    }

    fn hand_over(&self, topic: &str, encoded: &Encoded) -> KafkaResult<DeliveryFuture> {
        let record = FutureRecord::to(topic).key(&encoded.key).payload(&encoded.value).headers(headers(encoded));
        self.kafka.send_result(record).map_err(|(error, _)| error)
    }

    /// Whether Kafka answers.
    pub(super) async fn probe(&self, topic: String) -> KafkaResult<()> {
        let kafka = self.kafka.clone();
        let asked =
            tokio::task::spawn_blocking(move || kafka.client().fetch_metadata(Some(&topic), PROBE_TIMEOUT).map(drop));
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Drops what is not acknowledged and closes the connections, which takes a moment.
    pub(super) async fn discard(self) {
        // A panic there leaves nothing to do here.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }
}

/// The topic that is asked for to see whether Kafka answers.
pub(super) const PROBED_TOPIC: Topic = Topic::OrderCompleted;

async fn wait(mut delivery: DeliveryFuture, check: &CheckHandle) -> Result<OwnedDeliveryResult, Canceled> {
    loop {
        match tokio::time::timeout(SILENCE, &mut delivery).await {
            Ok(outcome) => return outcome,
            Err(_) => check.failing("kafka acknowledges nothing; rows wait in the outbox"),
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
    let impossible = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
        )
    );
    if impossible { Delivery::Impossible(error) } else { Delivery::Failed(error) }
}
