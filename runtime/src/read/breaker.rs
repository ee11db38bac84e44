//! A server that is away costs a time-out once, not once a request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first pause after a failure; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// Says whether to ask. While the server is away nobody asks, but for one probe after each pause.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// When to probe next; none while all is well.
    next_probe: Option<Instant>,
}

/// What to do about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// It is well: ask it.
    Ask,
    /// It may be back: probe it, without waiting for that.
    Probe,
    /// It is away.
    Avoid,
}

impl Breaker {
    pub(super) fn advice(&self, now: Instant) -> Advice {
        let mut state = self.state();
        match state.next_probe {
            None => Advice::Ask,
            Some(at) if now < at => Advice::Avoid,
            Some(_) => {
                // One probe at a time.
                state.next_probe = Some(now + pause(state.failures));
                Advice::Probe
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
        state.next_probe = Some(now + pause(state.failures));
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
    fn an_outage_is_probed_after_each_pause() {
        let breaker = Breaker::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(breaker.advice(start), Advice::Ask);
        assert!(breaker.failed(start));
        assert!(!breaker.failed(start), "requests that were under way are of the same outage");
        assert_eq!(breaker.advice(after(400)), Advice::Avoid);
        assert_eq!(breaker.advice(after(500)), Advice::Probe);
        assert_eq!(breaker.advice(after(500)), Advice::Avoid, "one probe at a time");
        assert!(!breaker.failed(after(600)));
        assert_eq!(breaker.advice(after(1000)), Advice::Avoid);
        assert_eq!(breaker.advice(after(1600)), Advice::Probe);
        assert!(breaker.succeeded());
        assert!(!breaker.succeeded());
        assert_eq!(breaker.advice(after(1600)), Advice::Ask);
    }

    #[test]
    fn pauses_are_bounded() {
        assert_eq!(pause(0), MIN_PAUSE);
        assert_eq!(pause(3), Duration::from_secs(2));
        assert_eq!(pause(u32::MAX), MAX_PAUSE);
    }
}
