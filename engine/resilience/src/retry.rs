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
        Self::between(Duration::from_millis(50), MAX_PAUSE)
    }
}

impl Backoff {
    /// Pauses that double from `min` to `max`, with jitter of up to `min`, without end.
    #[must_use]
    pub fn between(min: Duration, max: Duration) -> Self {
        let pauses =
            ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_jitter().without_max_times();
        Self(pauses.build())
    }

    /// The pause before the next attempt.
    pub fn pause(&mut self) -> Duration {
        self.0.next().unwrap_or(MAX_PAUSE)
    }

    /// Waits before the next attempt.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}
