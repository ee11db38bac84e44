//! Batches texts into requests to the server.
//!
//! Texts wait in a bounded queue. One task waits until the bulkhead admits a request, and sends the texts that wait
//! then: a text that comes when nothing is in flight is sent at once and alone, and under load requests are full.

mod request;

use std::sync::Arc;
use std::time::Duration;

use jangbogo_openai::AttemptLimits;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use self::request::{Job, Requests};
use super::Vector;
use super::circuit::Circuit;
use super::error::EmbedError;
use super::metrics::EmbedderMetrics;
use super::server::Server;

/// Maximum texts in a request.
const MAX_TEXTS: usize = 50;
/// Maximum bytes of texts in a request, which is also the limit of one text. Servers accept a few times as much.
const MAX_BYTES: usize = jangbogo_embedding::MAX_TEXT_BYTES;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Maximum requests in flight.
    pub(super) in_flight: u16,
    /// Maximum texts in the queue.
    pub(super) waiting: u16,
    pub(super) attempts: AttemptLimits,
}

/// A server that texts are sent to. Clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    queue: mpsc::Sender<Job>,
    requests: Arc<Requests>,
}

impl Remote {
    /// Starts the task that sends texts, which ends with the last clone.
    pub(super) fn start(server: Server, circuit: Arc<Circuit>, limits: Limits, metrics: EmbedderMetrics) -> Self {
        let (queue, jobs) = mpsc::channel(limits.waiting.into());
        let requests = Arc::new(Requests { server, circuit, attempts: limits.attempts, metrics });
        let bulkhead = Arc::new(Semaphore::new(limits.in_flight.into()));
        tokio::spawn(send_all(Queue { jobs, next: None }, Arc::clone(&requests), bulkhead));
        Self { queue, requests }
    }

    pub(super) fn model(&self) -> &str {
        self.requests.server.model()
    }

    /// The vector of a text by a deadline, which is `time_limit` after the request began. Fails at once while the
    /// breaker is open, also for the caller that is admitted as a probe: the probe runs in the background.
    pub(super) async fn embed(
        &self,
        text: &str,
        deadline: Instant,
        time_limit: Duration,
    ) -> Result<Vector, EmbedError> {
        let permit = self.requests.circuit.admit().ok_or(EmbedError::Unavailable)?;
        if permit.is_probe() {
            tokio::spawn(Arc::clone(&self.requests).probe(text.to_owned(), time_limit, permit));
            return Err(EmbedError::Unavailable);
        }
        // The text's request gets a permit of its own.
        drop(permit);
        let (answer, response) = oneshot::channel();
        let job = Job { text: text.to_owned(), deadline, time_limit, answer };
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => EmbedError::Busy,
            TrySendError::Closed(_) => EmbedError::Unavailable,
        })?;
        // A text past its deadline is dropped, not answered.
        response.await.unwrap_or(Err(EmbedError::TooSlow(time_limit)))
    }
}

#[cfg(test)]
impl Remote {
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

/// The receiving end of the queue.
struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// A text that did not fit the previous request.
    next: Option<Job>,
}

impl Queue {
    /// The texts of the next request, at least one; none when every sender is dropped.
    async fn next_batch(&mut self) -> Option<Vec<Job>> {
        let first = loop {
            let job = match self.next.take() {
                Some(job) => job,
                None => self.jobs.recv().await?,
            };
            if job.is_waited_for() {
                break job;
            }
        };
        let mut bytes = first.text.len();
        let mut batch = vec![first];
        while batch.len() < MAX_TEXTS
            && let Ok(job) = self.jobs.try_recv()
        {
            bytes += job.text.len();
            if bytes > MAX_BYTES {
                self.next = Some(job);
                break;
            }
            batch.push(job);
        }
        Some(batch)
    }
}

/// Sends texts until every sender is dropped.
async fn send_all(mut queue: Queue, requests: Arc<Requests>, bulkhead: Arc<Semaphore>) {
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&bulkhead).acquire_owned().await {
        let Some(batch) = queue.next_batch().await else { return };
        let requests = Arc::clone(&requests);
        tokio::spawn(async move {
            requests.answer(batch).await;
            drop(permit);
        });
    }
}
