//! Second phase: follows the log's tail beside the live generation, in bounded steps.

use std::time::Duration;

use jangbogo_log::Offsets;
use jangbogo_store::{Generation, Statements, behind};

use crate::context::Context;
use crate::error::ReplayError;
use crate::throttle::{Priority, Throttle};

/// As large as a worker's batches.
const BATCH_BYTES: usize = 1 << 20;
/// Beside an active live fold.
const SMALL_BATCH_BYTES: usize = 128 << 10;
/// Events left at which the cut-over may begin: the live fold waits while they are folded.
const CAUGHT_UP: i64 = 500;
/// Number of steps towards a log that grows as fast as it is folded.
const MAX_STEPS: usize = 50;

#[derive(Clone, Copy)]
pub struct CatchUp<'a> {
    pub context: &'a Context,
    pub throttle: &'a Throttle,
    pub generation: &'a Generation,
}

impl CatchUp<'_> {
    /// Follows the log until almost nothing is left.
    pub async fn run(&self) -> Result<(), ReplayError> {
        let mut before = i64::MAX;
        for _ in 0..MAX_STEPS {
            let ends = self.context.end_offsets().await?;
            let left: i64 = behind(&self.context.positions(self.generation).await?, &ends).values().sum();
            // A step that leaves as much as the one before was throttled to the rate at which the log grows.
            let is_gaining = left < before / 2;
            let (state, priority) =
                if is_gaining { ("catching up", Priority::Background) } else { ("lagging", Priority::Foreground) };
            before = left;
            self.context.progress.begin(state, left.unsigned_abs());
            self.fold_to(&ends, priority).await?;
            if left < CAUGHT_UP {
                return Ok(());
            }
        }
        let message = format!("the log grows as fast as it is folded: {before} events are left");
        Err(ReplayError::Refused(message))
    }

    /// Folds up to exactly these offsets. Partitions that are past them stay as they are.
    pub async fn fold_to(&self, until: &Offsets, priority: Priority) -> Result<(), ReplayError> {
        let Self { context, throttle, generation } = self;
        let left = behind(&context.positions(generation).await?, until);
        if left.is_empty() {
            return Ok(());
        }
        let until = left.keys().map(|partition| (*partition, until[partition])).collect();
        let statements = Statements::new(context.processor.tables());
        let decisions = context.decisions(generation).await?;
        let (mut folder, mut log) =
            context.open_fold(generation, statements, until, throttle.max_rate, &decisions).await?;
        let live = decisions.live.as_ref().filter(|_| priority == Priority::Background);
        let mut bytes = if live.is_some() { SMALL_BATCH_BYTES } else { BATCH_BYTES };
        while let Some(records) = log.next_chunk(bytes, Duration::ZERO).await {
            context.progress.advance(folder.fold(records?).await?.records);
            bytes = if throttle.yield_to_live(context, live).await? { SMALL_BATCH_BYTES } else { BATCH_BYTES };
        }
        Ok(())
    }
}
