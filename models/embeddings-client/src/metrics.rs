//! Metrics of a client.

use jangbogo_telemetry::{BATCH_BUCKETS, SECONDS_BUCKETS};

jangbogo_telemetry::metrics! {
    /// Metrics of a client of embedding models.
    pub struct EmbedderMetrics {
        /// Vectors returned, by source: l1 (cached or being computed in this process), redis, remote or in-process
        embedder_vectors_total: prometheus::IntCounterVec, labels ["source"];
        /// Failed requests for a vector, by reason: text, too-slow, busy, away (breaker open), server or in-process
        embedder_failures_total: prometheus::IntCounterVec, labels ["reason"];
        /// Time until a vector was returned or the request failed, in seconds
        embedder_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
        /// Requests to the server, by outcome: answered, refused, rate-limited, unreachable, unintelligible or too-slow
        embedder_requests_total: prometheus::IntCounterVec, labels ["outcome"];
        /// Texts per request to the server
        embedder_request_texts: prometheus::Histogram, buckets BATCH_BUCKETS;
        /// State of the server's circuit breaker: 0 closed, 1 half-open, 2 open
        embedder_breaker_state: prometheus::IntGauge;
    }
}
