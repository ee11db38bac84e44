//! First phase: folds the log in bulk, up to the end offsets captured at the start, and merges the staging tables.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jangbogo_log::{Offsets, Partition, Record};
use jangbogo_store::{
    Statements, Stored, behind, drop_generation, finish_bulk, finish_table, is_bulk_intact, positions,
};
use sqlx::PgConnection;

use crate::context::{Context, DecisionOutcomes};
use crate::error::ReplayError;
use crate::throttle::Throttle;

/// Bytes folded together: enough for deltas of one row to merge, little enough for memory.
const CHUNK_BYTES: usize = 2 << 20;
/// Beside an active live fold, which waits at most for one chunk.
const SMALL_CHUNK_BYTES: usize = 32 << 10;
/// A chunk is folded after this time even if it is smaller: a kill costs a rate-limited replay no more than this.
const CHUNK_TIME: Duration = Duration::from_secs(1);

/// Resumable: what was committed before a crash is not folded again.
pub struct Hydrate<'a> {
    pub context: &'a Context,
    pub throttle: &'a Throttle,
    pub stored: &'a Stored,
    /// Number of concurrent folds and merges.
    pub parallelism: usize,
}

impl Hydrate<'_> {
    pub async fn run(&self, connection: &mut PgConnection) -> Result<(), ReplayError> {
        let generation = &self.stored.generation;
        if !is_bulk_intact(connection, generation).await? {
            return Err(ReplayError::StagingLost);
        }
        let captured = self.stored.captured.clone().unwrap_or_default();
        let reached = positions(connection, generation).await?;
        let left = behind(&reached, &captured);
        let total = captured.values().sum::<i64>().unsigned_abs();
        self.context.progress.begin("hydrating", total);
        self.context.progress.advance(total - left.values().sum::<i64>().unsigned_abs());
        let decisions = self.context.decisions(generation).await?;
        let shares = shares(&captured, &left, self.parallelism);
        let folds = shares.iter().map(|share| self.fold_share(&captured, share, &decisions));
        let earliest = try_join_all(folds).await?;
        self.refuse_a_time_before_the_log(connection, earliest.into_iter().flatten().min()).await?;
        self.merge(&decisions).await?;
        Ok(finish_bulk(connection, generation).await?)
    }

    /// Merges the staging tables, several at a time unless that would take processor cores from a live fold.
    async fn merge(&self, decisions: &DecisionOutcomes) -> Result<(), ReplayError> {
        let Self { context, throttle, .. } = self;
        let (generation, live) = (&self.stored.generation, decisions.live.as_ref());
        let concurrency = if throttle.yield_to_live(context, live).await? { 1 } else { self.parallelism };
        let merging = context.processor.tables().map(|table| async move {
            let is_beside_live = throttle.yield_to_live(context, live).await?;
            let mut connection = context.connect().await?;
            context.progress.begin(&format!("merging {}", table.name), 0);
            let vector_index = context.connections.vector_index;
            Ok(finish_table(&mut connection, generation, table, vector_index, is_beside_live).await?)
        });
        stream::iter(merging).buffer_unordered(concurrency).try_collect().await
    }

    /// Folds some partitions. Returns the time of their earliest event.
    async fn fold_share(
        &self,
        captured: &Offsets,
        share: &[Partition],
        decisions: &DecisionOutcomes,
    ) -> Result<Option<DateTime<Utc>>, ReplayError> {
        let Self { context, throttle, stored, .. } = self;
        let statements = Statements::in_bulk(context.processor.tables());
        let until = share.iter().map(|partition| (*partition, captured[partition])).collect();
        #[expect(clippy::cast_precision_loss, reason = "a share of a rate need not be exact")]
        let max_rate = throttle.max_rate.map(|rate| rate / self.parallelism as f64);
        let (folder, mut log) = context.open_fold(&stored.generation, statements, until, max_rate, decisions).await?;
        let mut folder = folder.as_of(stored.as_of);
        let mut earliest = None;
        let mut is_live_active = decisions.live.is_some();
        loop {
            let chunk_bytes = if is_live_active { SMALL_CHUNK_BYTES } else { CHUNK_BYTES };
            let Some(records) = log.next_chunk(chunk_bytes, CHUNK_TIME).await else { break };
            let records = records?;
            earliest = records.iter().filter_map(Record::event_time).chain(earliest).min();
            let permit = throttle.commit_permit(is_live_active).await;
            context.progress.advance(folder.fold(records).await?.records);
            drop(permit);
            is_live_active = throttle.yield_to_live(context, decisions.live.as_ref()).await?;
        }
        Ok(earliest)
    }

    async fn refuse_a_time_before_the_log(
        &self,
        connection: &mut PgConnection,
        earliest: Option<DateTime<Utc>>,
    ) -> Result<(), ReplayError> {
        let (Some(as_of), Some(earliest)) = (self.stored.as_of, earliest) else { return Ok(()) };
        if earliest <= as_of {
            return Ok(());
        }
        drop_generation(connection, &self.stored.generation).await?;
        Err(ReplayError::Refused(format!("{as_of} is before the log: its earliest event is of {earliest}")))
    }
}

/// Distributes partitions into shares of about the same number of remaining events. Every partition is in a share, so
/// that each has a checkpoint.
fn shares(captured: &Offsets, left: &Offsets, count: usize) -> Vec<Vec<Partition>> {
    let mut by_size: Vec<(i64, Partition)> =
        captured.keys().map(|partition| (left.get(partition).copied().unwrap_or_default(), *partition)).collect();
    by_size.sort_unstable_by(|left, right| right.cmp(left));
    let mut shares: Vec<(i64, Vec<Partition>)> = vec![(0, Vec::new()); count.max(1)];
    for (size, partition) in by_size {
        if let Some((total, partitions)) =
            shares.iter_mut().min_by_key(|(total, partitions)| (*total, partitions.len()))
        {
            *total += size;
            partitions.push(partition);
        }
    }
    shares.into_iter().map(|(_, partitions)| partitions).filter(|partitions| !partitions.is_empty()).collect()
}
