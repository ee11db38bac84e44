//! A server that is away costs a time-out once, not once a request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first pause after a failure; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// Says whether to try. While the server is away one attempt is let through after each pause.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// When the next attempt may be made; none while all is well.
    next_attempt: Option<Instant>,
}

impl Breaker {
    /// Whether an attempt may be made now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.next_attempt {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                // Whoever comes while this attempt is under way does not wait for it.
                state.next_attempt = Some(now + pause(state.failures));
                true
            }
        }
    }

    /// Gives whether an outage has ended.
    pub(super) fn succeeded(&self) -> bool {
        std::mem::take(&mut *self.state()).failures > 0
    }

    /// Gives whether this is the outage's first failure.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.next_attempt = Some(now + pause(state.failures));
        state.failures = state.failures.saturating_add(1);
        state.failures == 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(failures: u32) -> Duration {
    MIN_PAUSE.saturating_mul(1 << failures.min(10)).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lets_one_attempt_through_after_each_pause() {
        let breaker = Breaker::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(breaker.allows(start) && breaker.allows(start));
        assert!(breaker.failed(start));
        assert!(!breaker.failed(start), "attempts that were under way are of the same outage");
        assert!(!breaker.allows(after(400)));
        assert!(breaker.allows(after(500)));
        assert!(!breaker.allows(after(500)), "one attempt at a time");
        assert!(!breaker.failed(after(600)));
        assert!(!breaker.allows(after(1000)));
        assert!(breaker.allows(after(1600)));
        assert!(breaker.succeeded());
        assert!(!breaker.succeeded());
        assert!(breaker.allows(after(1600)) && breaker.allows(after(1600)));
    }

    #[test]
    fn pauses_are_bounded() {
        assert_eq!(pause(0), MIN_PAUSE);
        assert_eq!(pause(3), Duration::from_secs(2));
        assert_eq!(pause(u32::MAX), MAX_PAUSE);
    }
}
