//! A fold of the past gives way to the live one: shoppers wait for that.

use std::time::{Duration, Instant};

use runtime::store::{Generation, Live, Offsets, behind};

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
    reached: Option<Offsets>,
    moved: Option<Instant>,
    /// It did not move when it was last waited for, nor since.
    stands_still: bool,
    /// When it was last waited for in vain although it moved.
    fell_behind: Option<Instant>,
}

impl LiveFold {
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
    /// Rests until the live fold, if it is at work, has all that is in the log now. Gives whether it is, or was lately.
    pub async fn give_way(&self, live: Option<&Live>) -> Result<bool, ReplayError> {
        let Some(Live { generation, .. }) = live else { return Ok(false) };
        let ends = self.log_ends().await?;
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
