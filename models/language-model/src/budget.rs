//! A token bucket of the model's tokens.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket that holds at most a minute's tokens, and refills continuously. The most that an attempt may use is
/// taken before it, and the unused rest refunded after it; a cancelled attempt gets no refund, for the server may have
/// used them.
#[derive(Debug)]
pub(crate) struct Budget {
    per_minute: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Negative after attempts that used more than was estimated.
    tokens: f64,
    at: Instant,
}

impl Budget {
    /// A full budget; none if the limit is 0.
    pub(crate) fn new(per_minute: u32, now: Instant) -> Option<Self> {
        let tokens = f64::from(per_minute);
        (per_minute > 0).then(|| Self { per_minute: tokens, state: Mutex::new(State { tokens, at: now }) })
    }

    /// Takes tokens. An attempt that may use more than the bucket holds is admitted when the bucket is full.
    ///
    /// # Errors
    /// When there are too few tokens: the time when there will be enough.
    pub(crate) fn take(&self, tokens: u32, now: Instant) -> Result<(), Instant> {
        let mut state = self.refilled(now);
        let tokens = f64::from(tokens);
        let missing = tokens.min(self.per_minute) - state.tokens;
        if missing > 0.0 {
            return Err(now + Duration::from_secs_f64(missing / self.per_minute * 60.0));
        }
        state.tokens -= tokens;
        Ok(())
    }

    /// Corrects what was taken by what was used.
    pub(crate) fn settle(&self, taken: u32, used: u32, now: Instant) {
        let mut state = self.refilled(now);
        state.tokens = (state.tokens + f64::from(taken) - f64::from(used)).min(self.per_minute);
    }

    fn refilled(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(state.at).as_secs_f64();
        state.tokens = (state.tokens + elapsed * self.per_minute / 60.0).min(self.per_minute);
        state.at = state.at.max(now);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_refills() {
        let start = Instant::now();
        let budget = Budget::new(600, start).unwrap();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(budget.take(400, start), Ok(()));
        assert_eq!(budget.take(400, start), Err(after(20)));
        assert_eq!(budget.take(400, after(20)), Ok(()));
        budget.settle(400, 100, after(20));
        assert_eq!(budget.take(300, after(20)), Ok(()), "unused tokens are refunded");
        budget.settle(300, 900, after(20));
        assert_eq!(
            budget.take(1, after(79)),
            Err(start + Duration::from_secs_f64(80.1)),
            "tokens used in excess are owed"
        );
    }

    #[test]
    fn a_call_above_the_budget_waits_for_a_full_one() {
        let start = Instant::now();
        let budget = Budget::new(60, start).unwrap();
        assert_eq!(budget.take(90, start), Ok(()));
        assert_eq!(budget.take(90, start), Err(start + Duration::from_secs(90)));
        assert!(Budget::new(0, start).is_none());
    }
}
