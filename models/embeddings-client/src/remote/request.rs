//! One request: its attempts, and the answers to its texts.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_openai::{AttemptLimits, Attempts, Error};
use jangbogo_resilience::breaker::Permit;
use jangbogo_telemetry::causes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::super::Vector;
use super::super::circuit::Circuit;
use super::super::error::{EmbedError, blames_texts};
use super::super::metrics::EmbedderMetrics;
use super::super::server::Server;

/// A text that waits for its vector, and its caller.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) text: String,
    pub(super) deadline: Instant,
    pub(super) time_limit: Duration,
    pub(super) answer: oneshot::Sender<Result<Vector, EmbedError>>,
}

impl Job {
    pub(super) fn is_waited_for(&self) -> bool {
        !self.answer.is_closed() && Instant::now() < self.deadline
    }
}

#[derive(Debug)]
pub(super) struct Requests {
    pub(super) server: Server,
    pub(super) circuit: Arc<Circuit>,
    pub(super) attempts: AttemptLimits,
    pub(super) metrics: EmbedderMetrics,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("every caller has cancelled, or is past its deadline")]
    TooLate,
    #[error("circuit breaker open")]
    Unavailable,
    #[error("timed out")]
    TooSlow,
    #[error(transparent)]
    Server(#[from] Error),
}

impl Requests {
    /// Answers the texts of a batch. A batch that the server finds fault with is sent again in halves, until the faulty
    /// text is alone.
    pub(super) async fn answer(&self, batch: Vec<Job>) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            let error = match self.request(&mut batch).await {
                Ok(vectors) => {
                    for (job, vector) in batch.into_iter().zip(vectors) {
                        // Fails if the caller has cancelled.
                        let _ = job.answer.send(Ok(vector));
                    }
                    continue;
                }
                Err(Failure::TooLate | Failure::TooSlow) => continue,
                Err(Failure::Unavailable) => EmbedError::Unavailable,
                Err(Failure::Server(error)) => EmbedError::Server(Arc::new(error)),
            };
            if error.blames_texts() && batch.len() > 1 {
                let half = batch.split_off(batch.len() / 2);
                batches.extend([half, batch]);
                continue;
            }
            for job in batch {
                let _ = job.answer.send(Err(error.clone()));
            }
        }
    }

    /// Requests the vectors of a batch, without the texts whose callers have cancelled. Retries transient failures
    /// within the deadline.
    async fn request(&self, batch: &mut Vec<Job>) -> Result<Vec<Vector>, Failure> {
        let mut attempts = Attempts::new(self.attempts);
        let mut previous_error: Option<Error> = None;
        loop {
            batch.retain(Job::is_waited_for);
            let Some(last) = batch.iter().max_by_key(|job| job.deadline) else { return Err(Failure::TooLate) };
            let (deadline, time_limit) = (last.deadline, last.time_limit);
            let Some(permit) = self.circuit.admit_if_closed() else {
                // The error of the previous attempt is more specific than the open breaker.
                return Err(previous_error.map_or(Failure::Unavailable, Failure::Server));
            };
            let texts: Vec<&str> = batch.iter().map(|job| job.text.as_str()).collect();
            let error = match self.attempt(&texts, deadline, time_limit, permit).await {
                Err(Failure::Server(error)) if error.blames_server() && attempts.take().is_some() => error,
                result => return result,
            };
            let pause = attempts.pause(error.retry_after());
            if pause >= deadline.saturating_duration_since(Instant::now()) {
                return Err(Failure::Server(error));
            }
            debug!(error = %causes(&error), ?pause, "retrying the embeddings server");
            tokio::time::sleep(pause).await;
            previous_error = Some(error);
        }
    }

    /// Probes the server with a text, whose vector is dropped.
    pub(super) async fn probe(self: Arc<Self>, text: String, time_limit: Duration, permit: Permit) {
        // The attempt reports its outcome to the circuit breaker.
        let _ = self.attempt(&[&text], Instant::now() + time_limit, time_limit, permit).await;
    }

    async fn attempt(
        &self,
        texts: &[&str],
        deadline: Instant,
        time_limit: Duration,
        permit: Permit,
    ) -> Result<Vec<Vector>, Failure> {
        #[expect(clippy::cast_precision_loss, reason = "50 at most")]
        self.metrics.embedder_request_texts.observe(texts.len() as f64);
        let began = Instant::now();
        let result = match timeout_at(deadline, self.server.embed(texts)).await {
            Ok(result) => result.map_err(Failure::Server),
            Err(_) => Err(Failure::TooSlow),
        };
        self.metrics.embedder_requests_total.with_label_values(&[outcome(&result)]).inc();
        match &result {
            Ok(_) => {
                self.circuit.answered(permit);
                self.circuit.gave_vectors(Ok(()));
            }
            Err(Failure::Server(error)) if !error.blames_server() => {
                // A server that refuses a request, or answers badly, is available.
                self.circuit.answered(permit);
                if !blames_texts(error) {
                    self.circuit.gave_vectors(Err(error));
                } else if texts.len() == 1 {
                    self.circuit.refused_a_text(error);
                }
            }
            // Texts that waited long left the server little time: not a failure of the server.
            Err(Failure::TooSlow) if began.elapsed() < time_limit / 2 => {}
            Err(failure) => self.circuit.failed(permit, failure),
        }
        result
    }
}

/// The label of a result in metrics.
fn outcome(result: &Result<Vec<Vector>, Failure>) -> &'static str {
    match result {
        Ok(_) => "answered",
        Err(Failure::Server(Error::Unreachable { .. })) => "unreachable",
        Err(Failure::Server(Error::RateLimited { .. })) => "rate-limited",
        Err(Failure::Server(Error::Refused { .. })) => "refused",
        Err(Failure::Server(Error::Unintelligible { .. })) => "unintelligible",
        Err(Failure::TooLate | Failure::Unavailable | Failure::TooSlow) => "too-slow",
    }
}
