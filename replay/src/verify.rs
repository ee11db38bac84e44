//! Third phase: compares the rows of a caught-up generation with the live ones, at the same offsets.

use std::time::{Duration, Instant};

use jangbogo_store::{Live, State, behind, positions, set_state};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::catch_up::CatchUp;
use crate::compare::{Difference, Side, differences, digest};
use crate::error::ReplayError;
use crate::throttle::Priority;

/// A live fold that lags and has not advanced for this long counts as stopped.
const STANDSTILL: Duration = Duration::from_secs(15);
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

pub struct Verify<'a> {
    pub catch_up: CatchUp<'a>,
}

impl Verify<'_> {
    /// Fails if the live rows differ from the log's; the fresh fold is then kept for promotion.
    pub async fn run(&self) -> Result<(), ReplayError> {
        let CatchUp { context, generation, .. } = self.catch_up;
        let Some(live) = context.live().await? else { return Ok(()) };
        let found = self.compare(&live).await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut connection = context.pool.acquire().await?;
        set_state(&mut connection, generation, State::Ready).await?;
        let details: Vec<String> = found.iter().map(Difference::to_text).collect();
        Err(ReplayError::Differs(format!(
            "{} rows of the live generation differ from a fresh fold of the log:\n{}\nThe fresh fold is kept: \
             `replay promote {name} --generation {id}` serves it, `replay drop {name} {id}` removes it",
            found.iter().map(|difference| difference.rows).sum::<usize>(),
            details.join("\n"),
            name = context.processor.name,
            id = generation.short_id()
        )))
    }

    /// Compares at the live generation's offsets. With another fold version or embedding model rows are expected to
    /// differ: then only the events that were folded are compared.
    pub async fn compare(&self, live: &Live) -> Result<Vec<Difference>, ReplayError> {
        let CatchUp { context, throttle, generation } = self.catch_up;
        context.progress.begin("verifying", 0);
        self.wait_for_live(live).await?;
        let only_events = live.generation.fold_version != generation.fold_version
            || live.generation.embedding_model != generation.embedding_model;
        let is_beside_live = throttle.yield_to_live(context, Some(live)).await?;
        let mut live_side = self.connect_for_digests(is_beside_live).await?;
        // The snapshot is held while the other generation is folded up to its offsets.
        let mut snapshot = live_side.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let offsets = positions(&mut snapshot, &live.generation).await?;
        let live_digest = digest(&mut snapshot, context.processor, &live.generation, only_events).await?;
        self.catch_up.fold_to(&offsets, Priority::Background).await?;
        let mut folded_side = self.connect_for_digests(is_beside_live).await?;
        let folded_digest = digest(&mut folded_side, context.processor, generation, only_events).await?;
        if live_digest == folded_digest {
            return Ok(Vec::new());
        }
        let live = Side { connection: &mut snapshot, generation: &live.generation, digest: live_digest };
        let folded = Side { connection: &mut folded_side, generation, digest: folded_digest };
        differences(context.processor, live, folded).await
    }

    /// Beside a live fold digests take one processor core.
    async fn connect_for_digests(&self, is_beside_live: bool) -> Result<PgConnection, ReplayError> {
        let mut connection = self.catch_up.context.connect().await?;
        if is_beside_live {
            connection.execute("SET max_parallel_workers_per_gather = 0").await?;
        }
        Ok(connection)
    }

    /// Waits until no partition of the live generation is behind the other generation.
    async fn wait_for_live(&self, live: &Live) -> Result<(), ReplayError> {
        let CatchUp { context, generation, .. } = self.catch_up;
        let reached = context.positions(generation).await?;
        let mut last = i64::MAX;
        let mut advanced_at = Instant::now();
        loop {
            let left: i64 = behind(&context.positions(&live.generation).await?, &reached).values().sum();
            if left == 0 {
                return Ok(());
            }
            if left < last {
                (last, advanced_at) = (left, Instant::now());
            }
            if advanced_at.elapsed() > STANDSTILL {
                return Err(ReplayError::Refused(format!(
                    "the live generation lags by {left} events and does not advance, so it cannot be compared: start the \
                     processor {}, or give --no-verify",
                    context.processor.name
                )));
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}
