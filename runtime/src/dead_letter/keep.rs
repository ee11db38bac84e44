//! Keeping refused records.

use std::time::Duration;

use rdkafka::error::KafkaResult;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tracing::debug;

use super::{APPENDED_AT, CAUSE, GROUP, OFFSET, PARTITION, TOPIC};
use crate::config::Connections;
use crate::kafka::QuietContext;
use crate::retry::Backoff;
use crate::source::Record;
use crate::telemetry::{CheckHandle, causes};

/// Where a group's dead letters go.
#[derive(Clone)]
pub struct DeadLetters {
    producer: FutureProducer<QuietContext>,
    topic: String,
    group: String,
    check: CheckHandle,
}

impl DeadLetters {
    /// For the group of that processor.
    ///
    /// # Errors
    /// When the producer's configuration is refused.
    pub fn new(connections: &Connections, processor: &str, check: CheckHandle) -> KafkaResult<Self> {
        let config = connections.kafka_producer(&format!("{processor}-dead-letters"));
        let producer = config.create_with_context(QuietContext)?;
        let topic = connections.namespace.dead_letter_topic(processor);
        check.ok();
        Ok(Self { producer, topic, group: processor.to_owned(), check })
    }

    /// Keeps a refused record, trying until the broker has acknowledged it.
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
            match self.producer.send(message, Duration::from_secs(5)).await {
                Ok(_) => return self.check.ok(),
                Err((error, _)) => {
                    debug!(topic = self.topic, error = %causes(&error), "a dead letter was not accepted, trying again");
                    self.check.failing(&error);
                }
            }
            backoff.wait().await;
        }
    }
}
