//! Metrics of the language model.

use prometheus::{Histogram, IntCounterVec, IntGauge};

/// Upper bounds of calls' durations, in seconds.
const CALL_SECONDS_BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0];

jangbogo_telemetry::metrics! {
    /// Metrics of calls of a language model.
    pub struct LanguageModelMetrics {
        /// Calls, by form (json or text) and outcome: answered, abandoned (cancelled), or the kind of error
        language_model_calls_total: IntCounterVec, labels ["form", "outcome"];
        /// Duration of calls that passed the bulkhead, with all their attempts, in seconds
        language_model_call_seconds: Histogram, buckets CALL_SECONDS_BUCKETS;
        /// Tokens counted by the server, by side: prompt or answer
        language_model_tokens_total: IntCounterVec, labels ["side"];
        /// Calls in flight
        language_model_in_flight: IntGauge;
        /// Retries, by the outcome of the previous attempt
        language_model_retries_total: IntCounterVec, labels ["after"];
        /// State of the circuit breaker at the last call: 0 closed, 1 half-open, 2 open
        language_model_breaker_state: IntGauge;
    }
}
