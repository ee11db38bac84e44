//! Whether to ask again, and when.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// How often one thing may be asked for, and after which pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Attempts, the first one included.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles, and is spread by chance.
    pub min_pause: Duration,
    /// The longest pause, unless the server asks for more.
    pub max_pause: Duration,
}

/// What is left of the attempts at one thing, of which the first is under way.
#[derive(Debug)]
pub struct Attempts {
    left: u32,
    pauses: ExponentialBackoff,
    max_pause: Duration,
}

impl Attempts {
    /// All but the first.
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

    /// Takes another attempt; none when there is no more.
    pub fn take(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    /// The pause before the next attempt, which is no shorter than the one the server asks for.
    pub fn pause(&mut self, asked: Option<Duration>) -> Duration {
        // Jitter comes on top of the longest pause.
        let own = self.pauses.next().unwrap_or(self.max_pause).min(self.max_pause);
        own.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AttemptLimits =
        AttemptLimits { attempts: 5, min_pause: Duration::from_secs(1), max_pause: Duration::from_secs(5) };

    #[test]
    fn pauses_grow_within_their_bounds() {
        let mut attempts = Attempts::new(LIMITS);
        let pauses = std::iter::from_fn(|| attempts.take().map(|()| attempts.pause(None).as_secs_f64()));
        let pauses: Vec<f64> = pauses.collect();
        assert_eq!(pauses.len(), 4);
        for (pause, bounds) in pauses.iter().zip([1.0..=2.0, 2.0..=4.0, 4.0..=5.0, 5.0..=5.0]) {
            assert!(bounds.contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn the_servers_wish_counts_if_it_is_longer() {
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
