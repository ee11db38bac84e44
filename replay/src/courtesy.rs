//! A fold of the past gives way to the live one: shoppers wait for that.

use std::time::{Duration, Instant};

use runtime::store::{Live, Offsets, behind};

use crate::error::ReplayError;
use crate::job::Job;

/// How often the live fold is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A live fold that has not moved for so long is not at work.
const STANDSTILL: Duration = Duration::from_millis(300);
/// The longest rest. A live fold that cannot keep up is nothing that a rest would mend.
const REST_LIMIT: Duration = Duration::from_secs(2);
/// One that was at work so lately is about to be again.
const LATELY: Duration = Duration::from_secs(10);

/// What was seen of the live fold.
#[derive(Debug, Default)]
pub struct LiveFold {
    reached: Option<Offsets>,
    moved: Option<Instant>,
    /// It did not move when it was last waited for, nor since.
    stands_still: bool,
}

impl LiveFold {
    /// Gives whether it has moved since it was last looked at.
    fn look(&mut self, reached: &Offsets) -> bool {
        let has_moved = self.reached.as_ref().is_some_and(|last| last != reached);
        if has_moved {
            self.moved = Some(Instant::now());
            self.stands_still = false;
        }
        self.reached = Some(reached.clone());
        has_moved
    }

    fn was_at_work_lately(&self) -> bool {
        self.moved.is_some_and(|at| at.elapsed() < LATELY)
    }
}

impl Job {
    /// Rests until the live fold, if it is at work, has all that is in the log now. Gives whether it is, or was lately.
    pub async fn give_way(&self, live: Option<&Live>) -> Result<bool, ReplayError> {
        let Some(Live { generation, .. }) = live else { return Ok(false) };
        let ends = self.log_ends().await?;
        // Nobody else folds meanwhile.
        let _alone = self.floor.write().await;
        let mut live_fold = self.live_fold.lock().await;
        let began = Instant::now();
        let mut moved = began;
        while began.elapsed() < REST_LIMIT {
            let reached = self.positions(generation).await?;
            if live_fold.look(&reached) {
                moved = Instant::now();
            }
            if behind(&reached, &ends).is_empty() {
                return Ok(live_fold.was_at_work_lately());
            }
            live_fold.stands_still |= moved.elapsed() > STANDSTILL;
            if live_fold.stands_still {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        // It cannot keep up.
        Ok(false)
    }
}
