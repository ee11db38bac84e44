//! Trying again for ever: a server that is away comes back.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Pauses that grow from 50 ms to 2 s, with jitter, without end.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(MAX_PAUSE)
            .with_jitter()
            .without_max_times();
        Self(pauses.build())
    }
}

impl Backoff {
    /// Waits before the next attempt.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0.next().unwrap_or(MAX_PAUSE)).await;
    }
}
