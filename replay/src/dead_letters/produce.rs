//! Produces requeued records and decisions on dead letters.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::Utc;
use jangbogo_consume::dead_letter::{DeadLetter, DecisionOutcome};
use jangbogo_events::{Data, DeadLetterDiscarded, DeadLetterRequeued, Envelope, Event, Text, Topic};
use jangbogo_log::append_time::APPEND_TIME_HEADER;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::{self, QuietContext};
use jangbogo_platform::namespace::Namespace;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use uuid::Uuid;

/// The `source` of decisions' events.
const SOURCE: &str = "replay/dead-letters";
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// An operator's reason for a decision.
pub type Reason = Text<512>;

/// Sends records and decisions with `acks=all`.
pub struct DeadLetterProducer {
    producer: FutureProducer<QuietContext>,
    namespace: Namespace,
    correlation_id: String,
}

impl DeadLetterProducer {
    /// Connects, and checks that the topic of decisions exists: a producer would wait for a missing one for minutes.
    pub async fn connect(connections: &Connections) -> anyhow::Result<Self> {
        let mut config = connections.kafka_producer("dead-letters");
        config.set("message.timeout.ms", "60000");
        let producer: FutureProducer<QuietContext> =
            config.create_with_context(QuietContext).context("cannot create a Kafka producer")?;
        let topic = connections.namespace.topic(Topic::DeadLetterEvents);
        let metadata = tokio::task::spawn_blocking({
            let (producer, topic) = (producer.clone(), topic.clone());
            move || producer.client().fetch_metadata(Some(&topic), METADATA_TIMEOUT)
        });
        let metadata = metadata.await?.with_context(|| format!("cannot reach Kafka at {}", connections.kafka))?;
        if !metadata.topics().iter().any(|found| found.name() == topic && found.error().is_none()) {
            bail!("the topic {topic} does not exist at {}; `jangbogo topology apply` creates it", connections.kafka);
        }
        let correlation_id = Uuid::now_v7().to_string();
        Ok(Self { producer, namespace: connections.namespace.clone(), correlation_id })
    }

    /// Appends a record to its own topic with its key, value and headers, except the header of its first append time,
    /// by which it would be judged as of then.
    pub fn send_record(&self, dead_letter: &DeadLetter) -> anyhow::Result<DeliveryFuture> {
        let mut headers = OwnedHeaders::new_with_capacity(dead_letter.headers.len());
        for (key, value) in dead_letter.headers.iter().filter(|(key, _)| key != APPEND_TIME_HEADER) {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let topic = self.namespace.topic(dead_letter.position.0.topic);
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).headers(headers);
        record.key = dead_letter.key.as_deref();
        record.payload = dead_letter.value.as_deref();
        self.producer.send_result(record).map_err(|(error, _)| error).with_context(|| format!("cannot send to {topic}"))
    }

    /// Appends the event that a dead letter was requeued or discarded.
    pub fn send_decision(
        &self,
        decision: DecisionOutcome,
        dead_letter: &DeadLetter,
        reason: Option<Reason>,
    ) -> anyhow::Result<DeliveryFuture> {
        let group = Text::new(dead_letter.group.as_str())?;
        let (partition, offset) = dead_letter.position;
        let topic = Text::new(partition.topic.name())?;
        let partition = partition.number;
        let data: Data = match decision {
            DecisionOutcome::Requeued => DeadLetterRequeued { group, topic, partition, offset, reason }.into(),
            DecisionOutcome::Discarded => DeadLetterDiscarded { group, topic, partition, offset, reason }.into(),
        };
        let mut envelope = Envelope::new(Uuid::now_v7(), SOURCE, Utc::now());
        envelope.correlation_id = Some(self.correlation_id.clone());
        let encoded = Event { envelope, data }.encode().context("cannot write the decision as JSON")?;
        let topic = self.namespace.topic(encoded.topic);
        let record =
            FutureRecord::to(&topic).key(&encoded.key).payload(&encoded.value).headers(kafka::headers(&encoded));
        self.producer.send_result(record).map_err(|(error, _)| error).with_context(|| format!("cannot send to {topic}"))
    }
}

/// Waits for the acknowledgement; returns the record's partition and offset.
pub async fn acknowledged(delivery: DeliveryFuture) -> anyhow::Result<Delivery> {
    match delivery.await.context("the Kafka producer stopped")? {
        Ok(delivery) => Ok(delivery),
        Err((error, _)) => Err(error).context("kafka rejected the record"),
    }
}
