//! The events that record an effect: named after their input, and produced until they are acknowledged.

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

/// An output happens so long after its input, by the shop's clock.
const AFTER_INPUT: TimeDelta = TimeDelta::milliseconds(1);

/// The id of an effect's output: the same whoever does the effect, and how often.
pub(super) fn output_id(reactor: &str, effect: &str, input: &Envelope, ordinal: usize) -> String {
    derived_id(&[reactor, effect, &input.source, &input.id, &ordinal.to_string()]).to_string()
}

/// The events of an effect's outputs.
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

/// Where outputs go.
#[derive(Clone)]
pub struct Outputs {
    producer: FutureProducer<QuietContext>,
    namespace: Namespace,
    metrics: ReactorMetrics,
    check: CheckHandle,
}

impl Outputs {
    /// # Errors
    /// When the producer's configuration is refused.
    pub fn new(
        connections: &Connections,
        reactor: &str,
        metrics: ReactorMetrics,
        check: CheckHandle,
    ) -> KafkaResult<Self> {
        // Somebody waits for an effect's one output: none waits for company.
        let producer = connections.kafka_producer(reactor).set("linger.ms", "0").create_with_context(QuietContext)?;
        Ok(Self { producer, namespace: connections.namespace.clone(), metrics, check })
    }

    /// Produces all, in order, until the broker has acknowledged them. One that Kafka will never take is left out, with an
    /// error in the log.
    pub(super) async fn produce(&self, events: &[Event]) {
        let mut encoded = Vec::with_capacity(events.len());
        for event in events {
            match event.encode() {
                Ok(record) => encoded.push(record),
                Err(error) => error!(id = event.envelope.id, error = %causes(&error), "an output is no event"),
            }
        }
        let mut backoff = Backoff::default();
        while let Some(failed) = self.try_produce(&encoded).await {
            debug!(error = %causes(&failed), "outputs were not accepted, trying again");
            self.check.failing(&failed);
            self.metrics.reactor_retries_total.inc();
            backoff.wait().await;
        }
        self.check.ok();
        self.metrics.reactor_outputs_total.inc_by(encoded.len() as u64);
    }

    async fn try_produce(&self, records: &[Encoded]) -> Option<KafkaError> {
        let mut handed_over = Vec::with_capacity(records.len());
        for record in records {
            let topic = self.namespace.topic(record.topic);
            let message = FutureRecord::to(&topic).key(&record.key).payload(&record.value).headers(headers(record));
            match self.producer.send_result(message) {
                Ok(delivery) => handed_over.push(delivery),
                Err((error, _)) if is_impossible(&error) => error!(key = record.key, %error, "an output was refused"),
                Err((error, _)) => return Some(error),
            }
        }
        for delivery in handed_over {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) if is_impossible(&error) => error!(%error, "an output was refused"),
                Ok(Err((error, _))) => return Some(error),
                Err(_) => return Some(KafkaError::Canceled),
            }
        }
        None
    }
}

fn is_impossible(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use jangbogo_events::{EventType, Payload as _, ProductRetired};

    use super::*;

    #[test]
    fn outputs_are_named_after_reactor_effect_and_input() {
        let input = Envelope::new("7", "gateway", DateTime::UNIX_EPOCH);
        let named = |effect, ordinal| output_id("assistant.reply", effect, &input, ordinal);
        assert_eq!(named("reply", 0), named("reply", 0));
        let others = [
            named("reply", 1),
            named("other", 0),
            output_id("assistant.other", "reply", &input, 0),
            output_id("assistant.reply", "reply", &Envelope::new("7", "shop", DateTime::UNIX_EPOCH), 0),
        ];
        assert!(!others.contains(&named("reply", 0)), "{others:?}");
    }

    #[test]
    fn an_output_follows_its_input_and_names_it() {
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
