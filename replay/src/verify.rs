//! Whether the live generation is what the log says.

use std::time::{Duration, Instant};

use jangbogo_store::{Generation, Live, State, behind, positions, set_state};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::catch_up::Manner;
use crate::compare::{Difference, Side, differences, digest};
use crate::error::ReplayError;
use crate::job::Job;

/// How long the live fold may stand still behind the log before it counts as stopped.
const STANDSTILL: Duration = Duration::from_secs(15);
/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

impl Job {
    /// Compares a caught-up generation with the live one, at the live one's offsets. Rows of another fold version or
    /// embedding model are expected to differ: then only the events that were folded are compared.
    pub async fn compare(&self, generation: &Generation, live: &Live) -> Result<Vec<Difference>, ReplayError> {
        self.progress.begin("verifying", 0);
        self.wait_for_live(generation, live).await?;
        let only_events = live.generation.fold_version != generation.fold_version
            || live.generation.embedding_model != generation.embedding_model;
        let is_beside_live = self.give_way(Some(live)).await?;
        let mut live_side = self.connect_for_digests(is_beside_live).await?;
        // What is served as of now, and for as long as it takes to fold up to there.
        let mut snapshot = live_side.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let held = positions(&mut snapshot, &live.generation).await?;
        let live_digest = digest(&mut snapshot, self.processor, &live.generation, only_events).await?;
        self.fold_to(generation, &held, Manner::Polite).await?;
        let mut folded_side = self.connect_for_digests(is_beside_live).await?;
        let folded_digest = digest(&mut folded_side, self.processor, generation, only_events).await?;
        if live_digest == folded_digest {
            return Ok(Vec::new());
        }
        let live = Side { connection: &mut snapshot, generation: &live.generation, digest: live_digest };
        let folded = Side { connection: &mut folded_side, generation, digest: folded_digest };
        differences(self.processor, live, folded).await
    }

    /// Beside a live fold digests take one processor core.
    async fn connect_for_digests(&self, is_beside_live: bool) -> Result<PgConnection, ReplayError> {
        let mut connection = self.connect().await?;
        if is_beside_live {
            connection.execute("SET max_parallel_workers_per_gather = 0").await?;
        }
        Ok(connection)
    }

    /// Waits until the live generation is nowhere behind.
    async fn wait_for_live(&self, generation: &Generation, live: &Live) -> Result<(), ReplayError> {
        let reached = self.positions(generation).await?;
        let mut last = i64::MAX;
        let mut moved = Instant::now();
        loop {
            let left: i64 = behind(&self.positions(&live.generation).await?, &reached).values().sum();
            if left == 0 {
                return Ok(());
            }
            if left < last {
                (last, moved) = (left, Instant::now());
            }
            if moved.elapsed() > STANDSTILL {
                return Err(ReplayError::Refused(format!(
                    "the live generation stands still {left} events behind the log, so there is nothing to compare: \
                     start the processor {0}, or give --no-verify",
                    self.processor.name
                )));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Refuses to go on when the live rows are not what the log says.
    pub async fn verify_or_refuse(&self, generation: &Generation) -> Result<(), ReplayError> {
        let Some(live) = self.live().await? else { return Ok(()) };
        let found = self.compare(generation, &live).await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut connection = self.pool.acquire().await?;
        set_state(&mut connection, generation, State::Ready).await?;
        let details: Vec<String> = found.iter().map(Difference::to_text).collect();
        Err(ReplayError::Differs(format!(
            "{} rows of the live generation are not what the log says:\n{}\nThe fresh fold is kept: \
             `replay promote {name} --generation {id}` serves it, `replay drop {name} {id}` removes it",
            found.iter().map(|difference| difference.rows).sum::<usize>(),
            details.join("\n"),
            name = self.processor.name,
            id = generation.short_id()
        )))
    }
}
