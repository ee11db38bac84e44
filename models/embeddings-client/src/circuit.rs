//! The circuit breaker of the server: while it is away nobody waits for it. What is wrong with it is told once.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use jangbogo_resilience::breaker::{Advice, Breaker, Condition, Thresholds};
use jangbogo_telemetry::causes;
use serde_json::json;
use tracing::{info, warn};

use super::metrics::EmbedderMetrics;
use super::shared::SharedCache;

/// A server fails by time-outs one after the other, or by half of its answers. While it is away it is probed twice a
/// second at first, and every five seconds at last.
pub(super) const THRESHOLDS: Thresholds = Thresholds {
    share: 0.5,
    calls: 10,
    window: Duration::from_secs(10),
    in_a_row: Some(3),
    min_pause: Duration::from_millis(500),
    max_pause: Duration::from_secs(5),
    probe_limit: Duration::ZERO,
};

/// So many single texts that are refused one after the other are not at fault each: it is something else about the requests.
const REFUSED_IN_A_ROW: u32 = 20;

/// A breaker whose changes are told.
#[derive(Debug)]
pub(super) struct Circuit {
    breaker: Breaker,
    /// Whether it was told that the server is there and gives no vectors.
    is_degraded: AtomicBool,
    /// Single texts refused since it last gave vectors.
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
        let (is_degraded, refused) = (AtomicBool::default(), AtomicU32::default());
        Self { breaker: Breaker::new(thresholds), is_degraded, refused, model: Arc::clone(model), shared, metrics }
    }

    /// Whether to ask the server. Who is advised to probe must: there is no other until the next probe is due.
    pub(super) fn advice(&self) -> Advice {
        let advice = self.breaker.advice(Instant::now());
        if advice == Advice::Probe {
            self.changed_to(Condition::HalfOpen);
        }
        advice
    }

    pub(super) fn is_closed(&self) -> bool {
        self.breaker.condition(Instant::now()) == Condition::Closed
    }

    /// Takes note that the server is not well, which one has met with who got this advice.
    pub(super) fn failed(&self, advice: Advice, error: &(dyn Error + 'static)) {
        if self.breaker.failed(advice, Instant::now()) {
            warn!(error = %causes(error), model = &*self.model, "the embeddings server is left alone");
            self.changed_to(Condition::Open);
        } else if advice == Advice::Probe {
            self.changed_to(Condition::Open);
        }
    }

    /// Takes note that the server has answered one who got this advice.
    pub(super) fn answered(&self, advice: Advice) {
        if self.breaker.succeeded(advice, Instant::now()) {
            info!(model = &*self.model, "the embeddings server answers again");
            self.changed_to(Condition::Closed);
        }
    }

    /// Takes note that what the server answers are vectors, or that they are not, with no text to blame: its key or its model
    /// is another one.
    pub(super) fn gave_vectors(&self, vectors: Result<(), &(dyn Error + 'static)>) {
        if vectors.is_ok() {
            self.refused.store(0, Ordering::Relaxed);
        }
        let was_useless = self.is_degraded.swap(vectors.is_err(), Ordering::Relaxed);
        if let Err(error) = vectors
            && !was_useless
        {
            warn!(error = %causes(error), model = &*self.model, "the embeddings server gives no vectors");
        }
    }

    /// Takes note that the server finds fault with a text that was asked for by itself.
    pub(super) fn refused_a_text(&self, error: &(dyn Error + 'static)) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if refused >= REFUSED_IN_A_ROW {
            self.gave_vectors(Err(error));
        }
    }

    /// Whether it was told that the server gives no vectors.
    #[cfg(test)]
    pub(super) fn is_degraded(&self) -> bool {
        self.is_degraded.load(Ordering::Relaxed)
    }

    fn changed_to(&self, condition: Condition) {
        self.metrics.set_condition(condition);
        let Some(shared) = &self.shared else { return };
        let state = match condition {
            Condition::Closed => "closed",
            Condition::HalfOpen => "half-open",
            Condition::Open => "open",
        };
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        shared.tell_state_change(json!({ "state": state, "at": at, "model": &*self.model }).to_string());
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_telemetry::Metrics;

    use super::*;

    #[test]
    fn a_server_that_refuses_one_text_after_the_other_is_told_of() {
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
