//! What a client counts.

use jangbogo_resilience::breaker::Condition;
use jangbogo_telemetry::{BATCH_BUCKETS, SECONDS_BUCKETS};

jangbogo_telemetry::metrics! {
    /// What a client counts.
    pub struct EmbedderMetrics {
        /// Vectors that were given, by source: l1 (this process had it, or was having it computed), redis, remote or in-process
        embedder_vectors_total: prometheus::IntCounterVec, labels ["source"];
        /// Vectors that were asked for and not given, by reason: text, too-slow, busy, away, server or in-process
        embedder_failures_total: prometheus::IntCounterVec, labels ["reason"];
        /// Time until a vector came or did not, in seconds
        embedder_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
        /// Requests to the server, by outcome: answered, refused, rate-limited, unreachable, unintelligible or too-slow
        embedder_requests_total: prometheus::IntCounterVec, labels ["outcome"];
        /// Texts in a request to the server
        embedder_request_texts: prometheus::Histogram, buckets BATCH_BUCKETS;
        /// The circuit breaker of the server: 0 closed, 1 half-open, 2 open
        embedder_breaker_state: prometheus::IntGauge;
    }
}

impl EmbedderMetrics {
    pub(super) fn set_condition(&self, condition: Condition) {
        self.embedder_breaker_state.set(match condition {
            Condition::Closed => 0,
            Condition::HalfOpen => 1,
            Condition::Open => 2,
        });
    }
}
