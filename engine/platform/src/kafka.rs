//! What every client of Kafka shares: how an event's headers are written, and what the library says while it retries (many
//! lines a second in an outage, which readiness reports once).

use jangbogo_events::Encoded;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use tracing::debug;

/// Sends what the library says to the debug log. What matters comes back as a result or a delivery report.
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

/// The headers of an event, in their order.
#[must_use]
pub fn headers(event: &Encoded) -> OwnedHeaders {
    let written = OwnedHeaders::new_with_capacity(event.headers.len());
    event.headers.iter().fold(written, |written, (key, value)| written.insert(Header { key, value: Some(value) }))
}
