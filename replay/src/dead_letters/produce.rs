//! Records and decisions into Kafka.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::Utc;
use jangbogo_consume::dead_letter::{DeadLetter, DeadLetterDecision};
use jangbogo_events::{Data, DeadLetterDiscarded, DeadLetterRequeued, Envelope, Event, Text, Topic};
use jangbogo_log::append_time::APPEND_TIME_HEADER;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::{self, QuietContext};
use jangbogo_platform::namespace::Namespace;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use uuid::Uuid;

/// Who says that a letter was requeued or discarded.
const SOURCE: &str = "replay/dead-letters";
/// How long Kafka may take to say that it has the topic.
const METADATA_LIMIT: Duration = Duration::from_secs(10);

/// The words with which an operator gives the reason of a decision.
pub type Reason = Text<512>;

/// Sends records and decisions; each waits for the acknowledgement of all replicas.
pub struct LetterProducer {
    producer: FutureProducer<QuietContext>,
    namespace: Namespace,
    correlation_id: String,
}

impl LetterProducer {
    /// Connects, and sees to it that decisions have a topic: a producer would wait for a missing one for minutes.
    pub async fn connect(connections: &Connections) -> anyhow::Result<Self> {
        let mut config = connections.kafka_producer("dead-letters");
        config.set("message.timeout.ms", "60000");
        let producer: FutureProducer<QuietContext> =
            config.create_with_context(QuietContext).context("cannot create a Kafka producer")?;
        let topic = connections.namespace.topic(Topic::DeadLetterEvents);
        let metadata = tokio::task::spawn_blocking({
            let (producer, topic) = (producer.clone(), topic.clone());
            move || producer.client().fetch_metadata(Some(&topic), METADATA_LIMIT)
        });
        let metadata = metadata.await?.with_context(|| format!("cannot reach Kafka at {}", connections.kafka))?;
        if !metadata.topics().iter().any(|found| found.name() == topic && found.error().is_none()) {
            bail!("the topic {topic} does not exist at {}; `jangbogo topology apply` creates it", connections.kafka);
        }
        let correlation_id = Uuid::now_v7().to_string();
        Ok(Self { producer, namespace: connections.namespace.clone(), correlation_id })
    }

    /// Appends a letter's record to its own topic: key, value and headers as they were, but for the time of its first
    /// append elsewhere, which would make it as old as before.
    pub fn send_record(&self, letter: &DeadLetter) -> anyhow::Result<DeliveryFuture> {
        let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len());
        for (key, value) in letter.headers.iter().filter(|(key, _)| key != APPEND_TIME_HEADER) {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let topic = self.namespace.topic(letter.position.0.topic);
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).headers(headers);
        record.key = letter.key.as_deref();
        record.payload = letter.value.as_deref();
        self.producer.send_result(record).map_err(|(error, _)| error).with_context(|| format!("cannot send to {topic}"))
    }

    /// Appends the event that a letter was requeued or discarded.
    pub fn send_decision(
        &self,
        verdict: DeadLetterDecision,
        letter: &DeadLetter,
        reason: Option<Reason>,
    ) -> anyhow::Result<DeliveryFuture> {
        let group = Text::new(letter.group.as_str())?;
        let (partition, offset) = letter.position;
        let topic = Text::new(partition.topic.name())?;
        let partition = partition.number;
        let data: Data = match verdict {
            DeadLetterDecision::Requeued => DeadLetterRequeued { group, topic, partition, offset, reason }.into(),
            DeadLetterDecision::Discarded => DeadLetterDiscarded { group, topic, partition, offset, reason }.into(),
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

/// Waits for the acknowledgement and says where the record stands.
pub async fn acknowledged(delivery: DeliveryFuture) -> anyhow::Result<Delivery> {
    match delivery.await.context("the Kafka producer stopped")? {
        Ok(delivery) => Ok(delivery),
        Err((error, _)) => Err(error).context("Kafka did not accept it"),
    }
}
