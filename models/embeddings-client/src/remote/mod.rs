//! Texts on their way to the server.
//!
//! Texts wait in a bounded queue. One task takes them out of it: when a request may be sent, it sends what waits then, so
//! that a text that comes when nothing is under way goes at once and alone, and under load requests are full.

mod request;

use std::sync::Arc;
use std::time::Duration;

use jangbogo_openai::AttemptLimits;
use jangbogo_resilience::breaker::Advice;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use self::request::{Job, Requests};
use super::Vector;
use super::circuit::Circuit;
use super::error::EmbedError;
use super::metrics::EmbedderMetrics;
use super::server::Server;

/// The most texts in a request.
const MAX_TEXTS: usize = 50;
/// The most bytes of texts in a request; one text may have as many. Servers take a few times as much.
const MAX_BYTES: usize = jangbogo_embedding::MAX_TEXT_BYTES;

/// How much of a server may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests in flight.
    pub(super) in_flight: u16,
    /// Texts that wait.
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
    /// The task that sends texts ends with the last clone.
    pub(super) fn start(server: Server, circuit: Arc<Circuit>, limits: Limits, metrics: EmbedderMetrics) -> Self {
        let (queue, jobs) = mpsc::channel(limits.waiting.into());
        let requests = Arc::new(Requests { server, circuit, attempts: limits.attempts, metrics });
        let bulkhead = Arc::new(Semaphore::new(limits.in_flight.into()));
        tokio::spawn(send_all(Waiting { jobs, next: None }, Arc::clone(&requests), bulkhead));
        Self { queue, requests }
    }

    pub(super) fn model(&self) -> &str {
        self.requests.server.model()
    }

    /// The vector of a text, by a deadline that was so far away. While the server is away this is an error at once, also
    /// for who is advised to probe: the probe goes on by itself.
    pub(super) async fn embed(
        &self,
        text: &str,
        deadline: Instant,
        time_limit: Duration,
    ) -> Result<Vector, EmbedError> {
        match self.requests.circuit.advice() {
            Advice::Ask => {}
            Advice::Avoid { .. } => return Err(EmbedError::Unavailable),
            Advice::Probe => {
                tokio::spawn(Arc::clone(&self.requests).probe(text.to_owned(), time_limit));
                return Err(EmbedError::Unavailable);
            }
        }
        let (answer, answered) = oneshot::channel();
        let job = Job { text: text.to_owned(), deadline, time_limit, answer };
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => EmbedError::Busy,
            TrySendError::Closed(_) => EmbedError::Unavailable,
        })?;
        // What is too late is given up, not answered.
        answered.await.unwrap_or(Err(EmbedError::TooSlow(time_limit)))
    }
}

#[cfg(test)]
impl Remote {
    /// How many texts wait in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

/// Texts that wait.
struct Waiting {
    jobs: mpsc::Receiver<Job>,
    /// One that did not fit the request before.
    next: Option<Job>,
}

impl Waiting {
    /// What goes together: at least one text that somebody waits for; none when there will be no more.
    async fn gather(&mut self) -> Option<Vec<Job>> {
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

/// Sends texts until every sender is gone.
async fn send_all(mut waiting: Waiting, requests: Arc<Requests>, bulkhead: Arc<Semaphore>) {
    // A semaphore that nobody closes.
    while let Ok(place) = Arc::clone(&bulkhead).acquire_owned().await {
        let Some(batch) = waiting.gather().await else { return };
        let requests = Arc::clone(&requests);
        tokio::spawn(async move {
            requests.answer(batch).await;
            drop(place);
        });
    }
}
