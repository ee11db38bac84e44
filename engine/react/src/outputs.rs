//! Events that record an effect: ids derive from the input, and producing is retried until acknowledged.

use chrono::TimeDelta;
use jangbogo_events::{Data, Encoded, Envelope, Event, derived_id};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::{QuietContext, headers};
use jangbogo_platform::namespace::Namespace;
use jangbogo_resilience::retry::Backoff;
use jangbogo_telemetry::{CheckHandle, causes};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tracing::{debug, error};

use super::ReactorMetrics;

/// Event time of an output, after that of its input.
const AFTER_INPUT: TimeDelta = TimeDelta::milliseconds(1);

/// Id of an effect's output: the same each time the effect is repeated, in any process.
pub(super) fn output_id(reactor: &str, effect: &str, input: &Envelope, ordinal: usize) -> String {
    derived_id(&[reactor, effect, &input.source, &input.id, &ordinal.to_string()]).to_string()
}

/// Wraps an effect's outputs in envelopes.
pub(super) fn events_of(reactor: &str, effect: &str, input: &Envelope, outputs: Vec<Data>) -> Vec<Event> {
    let event = |(ordinal, data)| {
        let mut envelope = Envelope::new(output_id(reactor, effect, input, ordinal), reactor, input.time + AFTER_INPUT);
        envelope.causation_id = Some(input.id.clone());
        envelope.correlation_id.clone_from(&input.correlation_id);
        envelope.traceparent.clone_from(&input.traceparent);
        Event { envelope, data }
    };
    outputs.into_iter().enumerate().map(event).collect()
}

/// Producer of a reactor's outputs. Clones share it.
#[derive(Clone)]
pub struct Outputs {
    producer: FutureProducer<QuietContext>,
    namespace: Namespace,
    metrics: ReactorMetrics,
    check: CheckHandle,
}

impl Outputs {
    /// # Errors
    /// When its configuration is invalid.
    pub fn new(
        connections: &Connections,
        reactor: &str,
        metrics: ReactorMetrics,
        check: CheckHandle,
    ) -> KafkaResult<Self> {
        // No linger: a shopper waits for the effect's one output.
        let producer = connections.kafka_producer(reactor).set("linger.ms", "0").create_with_context(QuietContext)?;
        Ok(Self { producer, namespace: connections.namespace.clone(), metrics, check })
    }

    /// Produces all, in order, with retries until the brokers acknowledge them. An output that Kafka will never accept
    /// is dropped, with an error in the log.
    pub(super) async fn produce(&self, events: &[Event]) {
        let mut encoded = Vec::with_capacity(events.len());
        for event in events {
            match event.encode() {
                Ok(record) => encoded.push(record),
                Err(error) => {
                    error!(id = event.envelope.id, error = %causes(&error), "reactor produced an invalid event");
                }
            }
        }
        let mut backoff = Backoff::default();
        while let Some(failed) = self.try_produce(&encoded).await {
            debug!(error = %causes(&failed), "cannot produce outputs; retrying");
            self.check.failing(&failed);
            self.metrics.reactor_retries_total.inc();
            backoff.wait().await;
        }
        self.check.ok();
        self.metrics.reactor_outputs_total.inc_by(encoded.len() as u64);
    }

    async fn try_produce(&self, records: &[Encoded]) -> Option<KafkaError> {
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            let topic = self.namespace.topic(record.topic);
            let message = FutureRecord::to(&topic).key(&record.key).payload(&record.value).headers(headers(record));
            match self.producer.send_result(message) {
                Ok(delivery) => deliveries.push(delivery),
                Err((error, _)) if is_too_large(&error) => {
                    error!(key = record.key, %error, "output dropped: record exceeds message.max.bytes");
                }
                Err((error, _)) => return Some(error),
            }
        }
        for delivery in deliveries {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) if is_too_large(&error) => {
                    error!(%error, "output dropped: record exceeds message.max.bytes");
                }
                Ok(Err((error, _))) => return Some(error),
                Err(_) => return Some(KafkaError::Canceled),
            }
        }
        None
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use jangbogo_events::{EventType, Payload as _, ProductRetired};

    use super::*;

    #[test]
    fn output_ids_derive_from_reactor_effect_and_input() {
        let input = Envelope::new("7", "gateway", DateTime::UNIX_EPOCH);
        let id = |effect, ordinal| output_id("assistant.reply", effect, &input, ordinal);
        assert_eq!(id("reply", 0), id("reply", 0));
        let others = [
            id("reply", 1),
            id("other", 0),
            output_id("assistant.other", "reply", &input, 0),
            output_id("assistant.reply", "reply", &Envelope::new("7", "shop", DateTime::UNIX_EPOCH), 0),
        ];
        assert!(!others.contains(&id("reply", 0)), "{others:?}");
    }

    #[test]
    fn an_output_follows_its_input_and_refers_to_it() {
        let mut input = Envelope::new("7", "gateway", DateTime::UNIX_EPOCH);
        input.correlation_id = Some("request".to_owned());
        let outputs = events_of("assistant.reply", "reply", &input, vec![ProductRetired::example().into()]);
        let Envelope { time, source, causation_id, correlation_id, .. } = &outputs[0].envelope;
        assert_eq!(time.timestamp_millis(), 1);
        assert_eq!((source.as_str(), causation_id.as_deref()), ("assistant.reply", Some("7")));
        assert_eq!(correlation_id.as_deref(), Some("request"));
        assert_eq!(outputs[0].data.event_type(), EventType::ProductRetired);
    }
}
