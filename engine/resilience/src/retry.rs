//! Exponential backoff for retries without end, and jitter.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses that double up to a maximum, without end.
#[derive(Debug)]
pub struct Backoff {
    pauses: ExponentialBackoff,
    max: Duration,
}

impl Default for Backoff {
    /// From 50 ms to 2 s, with jitter: for many clients of one server.
    fn default() -> Self {
        Self::build(Duration::from_millis(50), Duration::from_secs(2), ExponentialBuilder::with_jitter)
    }
}

impl Backoff {
    /// Pauses between these bounds, without jitter: for polling a state that only this client waits for.
    #[must_use]
    pub fn between(min: Duration, max: Duration) -> Self {
        Self::build(min, max, |builder| builder)
    }

    fn build(min: Duration, max: Duration, jitter: fn(ExponentialBuilder) -> ExponentialBuilder) -> Self {
        let builder = ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).without_max_times();
        Self { pauses: jitter(builder).build(), max }
    }

    /// The next pause, for a caller that waits for something else meanwhile.
    pub fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.max)
    }

    /// Sleeps for the next pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

/// Lengthens a duration by up to a fraction of it: the same for equal keys, different among others. A random key makes
/// it random.
#[must_use]
pub fn jitter(duration: Duration, fraction: f64, key: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    #[expect(clippy::cast_precision_loss, reason = "jitter need not be exact")]
    let share = hasher.finish() as f64 / u64::MAX as f64;
    duration.mul_f64(1.0 + fraction * share)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_maximum() {
        let mut backoff = Backoff::between(Duration::from_millis(20), Duration::from_millis(100));
        let start = Instant::now();
        let mut at = Vec::new();
        for _ in 0..5 {
            backoff.wait().await;
            at.push(start.elapsed().as_millis());
        }
        assert_eq!(at, [20, 60, 140, 240, 340]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_default_never_gives_up_and_stays_within_its_bounds() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            let start = Instant::now();
            backoff.wait().await;
            let paused = start.elapsed();
            assert!(paused >= Duration::from_millis(50) && paused <= Duration::from_millis(4001), "{paused:?}");
        }
    }

    #[test]
    fn jitter_is_bounded_and_depends_on_the_key_alone() {
        let jittered = |key: u32| jitter(Duration::from_secs(4), 0.25, key);
        assert_eq!(jittered(1), jittered(1));
        assert_ne!(jittered(1), jittered(2));
        assert!((0..1000).map(jittered).all(|it| it >= Duration::from_secs(4) && it <= Duration::from_secs(5)));
    }
}
