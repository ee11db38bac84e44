//! After the bulk: follows the log's tail beside the live generation, in steps that each have an end.

use std::time::Duration;

use jangbogo_log::Offsets;
use jangbogo_store::{Generation, Statements, behind, positions};

use crate::error::ReplayError;
use crate::job::Job;

/// Batches are as large as a worker's, and small beside a live fold at work.
const BATCH_BYTES: usize = 1 << 20;
const SMALL_BATCH_BYTES: usize = 128 << 10;
/// So few events are folded in no time: the step that the live fold waits for may begin.
const NEXT_TO_NOTHING: i64 = 500;
/// Steps towards a log that grows as fast as it is folded.
const STEPS: usize = 50;

/// How a fold goes on beside the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It gives way.
    Polite,
    /// It does not: the live fold waits for it, or its end would never come otherwise.
    Hurried,
}

impl Job {
    /// Folds up to exactly these offsets; what is past them already stays so.
    pub async fn fold_to(&self, generation: &Generation, until: &Offsets, manner: Manner) -> Result<(), ReplayError> {
        let left = behind(&self.positions(generation).await?, until);
        if left.is_empty() {
            return Ok(());
        }
        let until = left.keys().map(|partition| (*partition, until[partition])).collect();
        let statements = Statements::new(self.processor.tables());
        let verdicts = self.verdicts(generation).await?;
        let (mut folder, mut log) = self.open_fold(generation, statements, until, self.max_rate, &verdicts).await?;
        let live = verdicts.live.as_ref().filter(|_| manner == Manner::Polite);
        let mut bytes = if live.is_some() { SMALL_BATCH_BYTES } else { BATCH_BYTES };
        while let Some(records) = log.next_chunk(bytes, Duration::ZERO).await {
            self.progress.advance(folder.fold(records?).await?.records);
            bytes = if self.give_way(live).await? { SMALL_BATCH_BYTES } else { BATCH_BYTES };
        }
        Ok(())
    }

    /// Follows the log until next to nothing is left.
    pub async fn catch_up(&self, generation: &Generation) -> Result<(), ReplayError> {
        let mut before = i64::MAX;
        for _ in 0..STEPS {
            let ends = self.log_ends().await?;
            let left: i64 = behind(&self.positions(generation).await?, &ends).values().sum();
            // A step that leaves as much as the one before gave way to a log that grows as fast as it folds.
            let is_gaining = left < before / 2;
            let (state, manner) =
                if is_gaining { ("catching up", Manner::Polite) } else { ("lagging", Manner::Hurried) };
            before = left;
            self.progress.begin(state, left.unsigned_abs());
            self.fold_to(generation, &ends, manner).await?;
            if left < NEXT_TO_NOTHING {
                return Ok(());
            }
        }
        let message = format!("the log grows as fast as it is folded: {before} events are left");
        Err(ReplayError::Refused(message))
    }

    /// How far a generation is.
    pub async fn positions(&self, generation: &Generation) -> Result<Offsets, ReplayError> {
        let mut connection = self.pool.acquire().await?;
        Ok(positions(&mut connection, generation).await?)
    }
}
