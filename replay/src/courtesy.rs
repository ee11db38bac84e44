//! A fold of the past gives way to the live one: shoppers wait for that.

use std::time::{Duration, Instant};

use runtime::store::{Live, behind};

use crate::error::ReplayError;
use crate::job::Job;

/// How often the live fold is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A live fold that has not moved for so long is not at work.
const STANDSTILL: Duration = Duration::from_millis(300);
/// The longest rest. A live fold that cannot keep up is nothing that a rest would mend.
const REST_LIMIT: Duration = Duration::from_secs(2);

impl Job {
    /// Rests until the live fold, if it is at work, has all that is in the log now. Gives whether it was at work.
    pub async fn give_way(&self, live: Option<&Live>) -> Result<bool, ReplayError> {
        let Some(Live { generation, .. }) = live else { return Ok(false) };
        let ends = self.log_ends().await?;
        if behind(&self.positions(generation).await?, &ends).is_empty() {
            return Ok(false);
        }
        // Nobody else folds meanwhile.
        let _alone = self.floor.write().await;
        let began = Instant::now();
        let (mut least, mut moved) = (i64::MAX, began);
        while began.elapsed() < REST_LIMIT && moved.elapsed() < STANDSTILL {
            let left: i64 = behind(&self.positions(generation).await?, &ends).values().sum();
            if left == 0 {
                return Ok(true);
            }
            if left < least {
                (least, moved) = (left, Instant::now());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        // It stands still, or cannot keep up.
        Ok(false)
    }
}
