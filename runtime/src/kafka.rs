//! What Kafka's client library says while it retries: many lines a second in an outage, which readiness reports once.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
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
