//! A fold of the past gives way to the live one: shoppers wait for that.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jangbogo_log::Offsets;
use jangbogo_store::{Generation, Live, behind};

use crate::error::ReplayError;
use crate::job::Job;

/// How often the live fold is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A live fold that has not moved for so long is not at work.
const STANDSTILL: Duration = Duration::from_millis(300);
/// The longest rest. A live fold that cannot keep up is nothing that a rest would mend.
const REST_LIMIT: Duration = Duration::from_secs(2);
/// One that was at work so lately is about to be again; one that could not keep up so lately cannot yet.
const LATELY: Duration = Duration::from_secs(10);

/// What was seen of the live fold.
#[derive(Debug, Default)]
pub struct LiveFold {
    /// The ends of the log, and when they were seen; the first are those that it is expected to have.
    ends: VecDeque<(Instant, Offsets)>,
    reached: Option<Offsets>,
    moved: Option<Instant>,
    /// It did not move when it was last waited for, nor since.
    stands_still: bool,
    /// When it was last waited for in vain although it moved.
    fell_behind: Option<Instant>,
}

impl LiveFold {
    /// What a live fold has that is not behind, where the log ends so now: it may let events gather for so long.
    fn due(&mut self, ends: Offsets, gathering: Duration) -> Offsets {
        self.ends.push_back((Instant::now(), ends));
        while self.ends.get(1).is_some_and(|(seen, _)| seen.elapsed() >= gathering) {
            self.ends.pop_front();
        }
        self.ends.front().map(|(_, ends)| ends.clone()).unwrap_or_default()
    }

    fn look(&mut self, reached: Offsets) {
        if self.reached.as_ref().is_some_and(|last| *last != reached) {
            self.moved = Some(Instant::now());
            self.stands_still = false;
        }
        self.reached = Some(reached);
    }

    fn was_at_work_lately(&self) -> bool {
        self.moved.is_some_and(|at| at.elapsed() < LATELY)
    }

    fn fell_behind_lately(&self) -> bool {
        self.fell_behind.is_some_and(|at| at.elapsed() < LATELY)
    }
}

impl Job {
    /// Rests until the live fold, if it is at work, has what is in the log but for what it lets gather. Gives whether it is
    /// at work, or was lately.
    pub async fn give_way(&self, live: Option<&Live>) -> Result<bool, ReplayError> {
        let Some(Live { generation, .. }) = live else { return Ok(false) };
        let ends = self.log_ends().await?;
        let ends = self.live_fold.lock().await.due(ends, self.processor.batch_policy.linger());
        let began = Instant::now();
        if self.is_worth_waiting_for(generation, &ends, began).await? {
            // Nobody else folds meanwhile.
            let _alone = self.floor.write().await;
            let began = Instant::now();
            while self.is_worth_waiting_for(generation, &ends, began).await? {
                if began.elapsed() > REST_LIMIT {
                    self.live_fold.lock().await.fell_behind = Some(Instant::now());
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        Ok(self.live_fold.lock().await.was_at_work_lately())
    }

    async fn is_worth_waiting_for(
        &self,
        live: &Generation,
        ends: &Offsets,
        waiting_since: Instant,
    ) -> Result<bool, ReplayError> {
        let reached = self.positions(live).await?;
        let is_behind = !behind(&reached, ends).is_empty();
        let mut live_fold = self.live_fold.lock().await;
        live_fold.look(reached);
        let still_since = live_fold.moved.map_or(waiting_since, |moved| moved.max(waiting_since));
        live_fold.stands_still |= is_behind && still_since.elapsed() > STANDSTILL;
        Ok(is_behind && !live_fold.stands_still && !live_fold.fell_behind_lately())
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Topic;
    use jangbogo_log::Partition;

    use super::*;

    #[test]
    fn what_gathers_is_not_behind() {
        let partition = Partition { topic: Topic::OrderCompleted, number: 0 };
        let ends = |end| Offsets::from([(partition, end)]);
        let mut at_once = LiveFold::default();
        assert_eq!(at_once.due(ends(5), Duration::ZERO), ends(5));
        assert_eq!(at_once.due(ends(7), Duration::ZERO), ends(7));
        let mut gathered = LiveFold::default();
        let long = Duration::from_hours(1);
        assert_eq!(gathered.due(ends(5), long), ends(5));
        assert_eq!(gathered.due(ends(7), long), ends(5));
        // As if the last were seen long ago.
        assert_eq!(gathered.due(ends(9), Duration::ZERO), ends(9));
    }
}
