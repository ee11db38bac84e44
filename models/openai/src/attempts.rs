//! Attempts and backoff.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Limits of attempts and their backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Maximum attempts, the first one included.
    pub attempts: u32,
    /// Backoff before the second attempt; it doubles, with jitter.
    pub min_pause: Duration,
    /// Maximum backoff, unless the server asks for more.
    pub max_pause: Duration,
}

/// Remaining attempts of a request, whose first attempt is in flight.
#[derive(Debug)]
pub struct Attempts {
    left: u32,
    pauses: ExponentialBackoff,
    max_pause: Duration,
}

impl Attempts {
    #[must_use]
    pub fn new(limits: AttemptLimits) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(limits.min_pause)
            .with_max_delay(limits.max_pause)
            .with_jitter()
            .without_max_times();
        let left = limits.attempts.saturating_sub(1);
        Self { left, pauses: pauses.build(), max_pause: limits.max_pause }
    }

    /// Takes another attempt; none if none is left.
    pub fn take(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    /// The pause before the next attempt, at least `retry_after`.
    pub fn pause(&mut self, retry_after: Option<Duration>) -> Duration {
        // Jitter may exceed the maximum.
        let own = self.pauses.next().unwrap_or(self.max_pause).min(self.max_pause);
        own.max(retry_after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AttemptLimits =
        AttemptLimits { attempts: 5, min_pause: Duration::from_secs(1), max_pause: Duration::from_secs(5) };

    #[test]
    fn backoff_grows_within_its_bounds() {
        let mut attempts = Attempts::new(LIMITS);
        let pauses = std::iter::from_fn(|| attempts.take().map(|()| attempts.pause(None).as_secs_f64()));
        let pauses: Vec<f64> = pauses.collect();
        assert_eq!(pauses.len(), 4);
        for (pause, bounds) in pauses.iter().zip([1.0..=2.0, 2.0..=4.0, 4.0..=5.0, 5.0..=5.0]) {
            assert!(bounds.contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn the_server_s_pause_counts_if_it_is_longer() {
        let mut attempts = Attempts::new(LIMITS);
        let twenty = Duration::from_secs(20);
        assert_eq!(attempts.pause(Some(twenty)), twenty);
        assert!(attempts.pause(Some(Duration::ZERO)) >= Duration::from_secs(2));
    }

    #[test]
    fn there_is_always_a_first_attempt_and_not_always_another() {
        assert_eq!(Attempts::new(AttemptLimits { attempts: 0, ..LIMITS }).take(), None);
        assert_eq!(Attempts::new(AttemptLimits { attempts: 1, ..LIMITS }).take(), None);
    }
}
