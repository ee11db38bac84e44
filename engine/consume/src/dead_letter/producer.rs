//! Produces dead letters for refused records.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jangbogo_log::Record;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_resilience::retry::Backoff;
use jangbogo_telemetry::{CheckHandle, causes};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tracing::debug;

use super::{APPENDED_AT, CAUSE, GROUP, OFFSET, PARTITION, TOPIC};

/// Producer of a group's dead letters. Clones share it.
#[derive(Clone)]
pub struct DeadLetterProducer {
    config: ClientConfig,
    /// Created for the first dead letter: a producer has a polling thread, and most processes never need it.
    producer: Arc<OnceLock<FutureProducer<QuietContext>>>,
    topic: String,
    group: String,
    check: CheckHandle,
}

impl DeadLetterProducer {
    /// For the consumer group of a processor.
    #[must_use]
    pub fn new(connections: &Connections, processor: &str, check: CheckHandle) -> Self {
        let config = connections.kafka_producer(&format!("{processor}-dead-letters"));
        let topic = connections.namespace.dead_letter_topic(processor);
        check.ok();
        Self { config, producer: Arc::default(), topic, group: processor.to_owned(), check }
    }

    fn producer(&self) -> KafkaResult<&FutureProducer<QuietContext>> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let producer = self.config.create_with_context(QuietContext)?;
        Ok(self.producer.get_or_init(|| producer))
    }

    /// Produces a refused record, with retries until the brokers acknowledge it.
    pub async fn keep(&self, record: &Record) {
        let Err(refused) = &record.outcome else { return };
        let position = [
            (CAUSE, refused.cause.clone()),
            (GROUP, self.group.clone()),
            (TOPIC, record.partition.topic.name().to_owned()),
            (PARTITION, record.partition.number.to_string()),
            (OFFSET, record.offset.to_string()),
            (APPENDED_AT, record.appended_at.to_rfc3339()),
        ];
        let mut headers = OwnedHeaders::new_with_capacity(refused.headers.len() + position.len());
        for (key, value) in &refused.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        for (key, value) in &position {
            headers = headers.insert(Header { key, value: Some(value.as_bytes()) });
        }
        let mut backoff = Backoff::default();
        loop {
            let mut message: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic).headers(headers.clone());
            message.key = refused.key.as_deref();
            message.payload = refused.value.as_deref();
            let sent = match self.producer() {
                Ok(producer) => producer.send(message, Duration::from_secs(5)).await.map_err(|(error, _)| error),
                Err(error) => Err(error),
            };
            match sent {
                Ok(_) => return self.check.ok(),
                Err(error) => {
                    debug!(topic = self.topic, error = %causes(&error), "cannot produce a dead letter; retrying");
                    self.check.failing(&error);
                }
            }
            backoff.wait().await;
        }
    }
}
