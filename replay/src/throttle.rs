//! Throttles a replay while the live consumer lags, because shoppers see the live fold's lag.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::future::Either;
use jangbogo_log::Offsets;
use jangbogo_store::{Generation, Live, behind};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::context::Context;
use crate::error::ReplayError;

/// Interval of checks of the live fold's positions.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// A live fold that has not advanced for this long is not running.
const STANDSTILL: Duration = Duration::from_millis(300);
/// Longest pause: a live fold that lags for longer does not catch up because of a pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);
/// For this time an active live fold counts as active, and one that did not catch up is not waited for again.
const RECENT: Duration = Duration::from_secs(10);

/// Priority of a fold beside the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Yields to the live fold.
    Background,
    /// Does not yield: the live fold waits for it, or it would never catch up.
    Foreground,
}

/// Yields to the live fold, and limits the rate of reading.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Upper limit in events a second.
    pub max_rate: Option<f64>,
    live_lag: Mutex<LiveLag>,
    /// Shared by bulk folds, for the commit of one chunk each; exclusive beside an active live fold.
    commit_gate: RwLock<()>,
}

/// Observed lag of the live fold.
#[derive(Debug, Default)]
struct LiveLag {
    /// End offsets of the log with the time of their observation; the live fold is expected to have reached the first.
    ends: VecDeque<(Instant, Offsets)>,
    reached: Option<Offsets>,
    advanced_at: Option<Instant>,
    /// It did not advance during the last pause, nor since.
    is_stopped: bool,
    /// Time of the last pause that ended before it caught up although it advanced.
    fell_behind_at: Option<Instant>,
}

impl LiveLag {
    /// Offsets that a live fold without lag has reached, given the current ends: it may linger.
    fn expected(&mut self, ends: Offsets, linger: Duration) -> Offsets {
        self.ends.push_back((Instant::now(), ends));
        while self.ends.get(1).is_some_and(|(seen, _)| seen.elapsed() >= linger) {
            self.ends.pop_front();
        }
        self.ends.front().map(|(_, ends)| ends.clone()).unwrap_or_default()
    }

    fn observe(&mut self, reached: Offsets) {
        if self.reached.as_ref().is_some_and(|last| *last != reached) {
            self.advanced_at = Some(Instant::now());
            self.is_stopped = false;
        }
        self.reached = Some(reached);
    }

    fn was_active_recently(&self) -> bool {
        self.advanced_at.is_some_and(|at| at.elapsed() < RECENT)
    }

    fn fell_behind_recently(&self) -> bool {
        self.fell_behind_at.is_some_and(|at| at.elapsed() < RECENT)
    }
}

impl Throttle {
    pub fn new(max_rate: Option<f64>) -> Self {
        Self { max_rate, ..Self::default() }
    }

    /// Pauses while an active live fold lags by more than its linger. Returns true if it is or was recently active.
    pub async fn yield_to_live(&self, context: &Context, live: Option<&Live>) -> Result<bool, ReplayError> {
        let Some(Live { generation, .. }) = live else { return Ok(false) };
        let ends = context.end_offsets().await?;
        let expected = self.live_lag.lock().await.expected(ends, context.processor.batch_policy.linger());
        if self.should_wait(context, generation, &expected, Instant::now()).await? {
            // Stops the other folds of this replay as well.
            let _exclusive = self.commit_gate.write().await;
            let began = Instant::now();
            while self.should_wait(context, generation, &expected, began).await? {
                if began.elapsed() > PAUSE_LIMIT {
                    self.live_lag.lock().await.fell_behind_at = Some(Instant::now());
                }
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        }
        Ok(self.live_lag.lock().await.was_active_recently())
    }

    /// Permission to fold one chunk: shared, or exclusive beside an active live fold.
    pub async fn commit_permit(
        &self,
        is_live_active: bool,
    ) -> Either<RwLockWriteGuard<'_, ()>, RwLockReadGuard<'_, ()>> {
        if is_live_active {
            Either::Left(self.commit_gate.write().await)
        } else {
            Either::Right(self.commit_gate.read().await)
        }
    }

    async fn should_wait(
        &self,
        context: &Context,
        live: &Generation,
        expected: &Offsets,
        waiting_since: Instant,
    ) -> Result<bool, ReplayError> {
        let reached = context.positions(live).await?;
        let is_behind = !behind(&reached, expected).is_empty();
        let mut lag = self.live_lag.lock().await;
        lag.observe(reached);
        let still_since = lag.advanced_at.map_or(waiting_since, |at| at.max(waiting_since));
        lag.is_stopped |= is_behind && still_since.elapsed() > STANDSTILL;
        Ok(is_behind && !lag.is_stopped && !lag.fell_behind_recently())
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Topic;
    use jangbogo_log::Partition;

    use super::*;

    #[test]
    fn a_lingering_batch_is_not_lag() {
        let partition = Partition { topic: Topic::OrderCompleted, number: 0 };
        let ends = |end| Offsets::from([(partition, end)]);
        let mut immediate = LiveLag::default();
        assert_eq!(immediate.expected(ends(5), Duration::ZERO), ends(5));
        assert_eq!(immediate.expected(ends(7), Duration::ZERO), ends(7));
        let mut lingering = LiveLag::default();
        let long = Duration::from_hours(1);
        assert_eq!(lingering.expected(ends(5), long), ends(5));
        assert_eq!(lingering.expected(ends(7), long), ends(5));
        // As if the last ones were observed long ago.
        assert_eq!(lingering.expected(ends(9), Duration::ZERO), ends(9));
    }
}
