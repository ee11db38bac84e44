//! Shared by Kafka clients: the headers of an event, and a context that sends the library's log, many lines a
//! second in an outage, to the debug level. Readiness reports an outage once.

use jangbogo_events::Encoded;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use tracing::debug;

/// Sends the library's messages to the debug log. Errors that matter are results or delivery reports.
#[derive(Clone, Copy, Debug)]
pub struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, "{reason}");
    }
}

impl ConsumerContext for QuietContext {}

/// Kafka headers of an encoded event, in the event's order.
#[must_use]
pub fn headers(event: &Encoded) -> OwnedHeaders {
    let written = OwnedHeaders::new_with_capacity(event.headers.len());
    event.headers.iter().fold(written, |written, (key, value)| written.insert(Header { key, value: Some(value) }))
}
