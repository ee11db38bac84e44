//! The circuit breaker of the server. State changes are logged, counted and written to Redis.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use jangbogo_resilience::breaker::{Breaker, BreakerState, Permit, Thresholds};
use jangbogo_telemetry::causes;
use serde_json::json;
use tracing::{info, warn};

use super::metrics::EmbedderMetrics;
use super::shared::SharedCache;

/// Opens after three consecutive failures, or when half of at least ten calls in ten seconds fail. Probes start at an
/// interval of half a second, and back off to five seconds.
pub(super) const THRESHOLDS: Thresholds = Thresholds {
    failure_rate: 0.5,
    min_calls: 10,
    window: Duration::from_secs(10),
    consecutive_failures: Some(3),
    min_pause: Duration::from_millis(500),
    max_pause: Duration::from_secs(5),
    probe_timeout: Duration::ZERO,
};

/// After this many consecutive refusals of single texts the requests are at fault, not the texts.
const REFUSED_IN_A_ROW: u32 = 20;

/// A breaker that reports its state changes. It also detects a server that answers, but gives no vectors.
#[derive(Debug)]
pub(super) struct Circuit {
    breaker: Arc<Breaker>,
    /// True if it was logged that the server answers without vectors.
    is_degraded: AtomicBool,
    /// Single texts refused since the server last gave vectors.
    refused: AtomicU32,
    model: Arc<str>,
    shared: Option<SharedCache>,
    metrics: EmbedderMetrics,
}

impl Circuit {
    pub(super) fn new(
        thresholds: Thresholds,
        model: &Arc<str>,
        shared: Option<SharedCache>,
        metrics: EmbedderMetrics,
    ) -> Self {
        let (breaker, model) = (Arc::new(Breaker::new(thresholds)), Arc::clone(model));
        Self { breaker, is_degraded: AtomicBool::default(), refused: AtomicU32::default(), model, shared, metrics }
    }

    /// Admits a request or a probe; none while the breaker is open.
    pub(super) fn admit(&self) -> Option<Permit> {
        let permit = self.breaker.admit().ok()?;
        if permit.is_probe() {
            self.changed_to(BreakerState::HalfOpen);
        }
        Some(permit)
    }

    /// Admits a request, but no probe.
    pub(super) fn admit_if_closed(&self) -> Option<Permit> {
        self.breaker.admit_if_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.breaker.state() == BreakerState::Closed
    }

    /// Reports a failure of the server to an admitted request.
    pub(super) fn failed(&self, permit: Permit, error: &(dyn Error + 'static)) {
        let is_probe = permit.is_probe();
        let has_opened = permit.failed();
        if has_opened {
            let error = causes(error);
            warn!(%error, model = &*self.model, "embeddings server unavailable: circuit breaker opened");
        }
        if has_opened || is_probe {
            self.changed_to(BreakerState::Open);
        }
    }

    /// Reports an answer of the server to an admitted request.
    pub(super) fn answered(&self, permit: Permit) {
        if permit.succeeded() {
            info!(model = &*self.model, "embeddings server recovered: circuit breaker closed");
            self.changed_to(BreakerState::Closed);
        }
    }

    /// Reports that the server returned vectors, or an error that no text caused, such as a wrong key or model.
    pub(super) fn gave_vectors(&self, vectors: Result<(), &(dyn Error + 'static)>) {
        if vectors.is_ok() {
            self.refused.store(0, Ordering::Relaxed);
        }
        let was_degraded = self.is_degraded.swap(vectors.is_err(), Ordering::Relaxed);
        if let Err(error) = vectors
            && !was_degraded
        {
            warn!(
                error = %causes(error),
                model = &*self.model,
                "embeddings server gives no vectors: check EMBEDDINGS_API_KEY and EMBEDDING_MODEL"
            );
        }
    }

    /// Reports that the server refused a text that was the only one of its request.
    pub(super) fn refused_a_text(&self, error: &(dyn Error + 'static)) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if refused >= REFUSED_IN_A_ROW {
            self.gave_vectors(Err(error));
        }
    }

    #[cfg(test)]
    pub(super) fn is_degraded(&self) -> bool {
        self.is_degraded.load(Ordering::Relaxed)
    }

    fn changed_to(&self, state: BreakerState) {
        self.metrics.embedder_breaker_state.set(state.metric());
        let Some(shared) = &self.shared else { return };
        let name = match state {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Open => "open",
        };
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        shared.record_state_change(json!({ "state": name, "at": at, "model": &*self.model }).to_string());
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_telemetry::Metrics;

    use super::*;

    #[test]
    fn a_server_that_refuses_every_text_is_degraded() {
        let metrics = EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
        let circuit = Circuit::new(THRESHOLDS, &"model".into(), None, metrics);
        let error = jangbogo_openai::Error::unintelligible("no such encoding_format");
        let refuse = |times: u32| (0..times).for_each(|_| circuit.refused_a_text(&error));
        refuse(REFUSED_IN_A_ROW - 1);
        assert!(!circuit.is_degraded());
        circuit.gave_vectors(Ok(()));
        refuse(REFUSED_IN_A_ROW - 1);
        assert!(!circuit.is_degraded(), "it has given vectors in between");
        refuse(1);
        assert!(circuit.is_degraded());
    }
}
