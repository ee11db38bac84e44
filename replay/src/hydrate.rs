//! The first and longest step: folds the log in bulk, up to the offsets captured when it began.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::{Either, try_join_all};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jangbogo_log::{Offsets, Partition, Record};
use jangbogo_store::{Generation, Statements, Stored, behind, finish_bulk, finish_table, is_bulk_intact, positions};
use sqlx::PgConnection;

use crate::error::ReplayError;
use crate::job::{Job, Verdicts};

/// Records that are folded together: enough for sums to fall together, little enough for memory.
const CHUNK_BYTES: usize = 2 << 20;
/// So little beside a live fold at work: it waits no longer than that takes.
const SMALL_CHUNK_BYTES: usize = 32 << 10;
/// Whatever has come by then is folded: a kill costs a slow replay no more than this.
const CHUNK_TIME: Duration = Duration::from_secs(1);

impl Job {
    /// Folds what is left of the captured log, then merges it. What was committed before a crash is not folded again.
    pub async fn hydrate(&self, connection: &mut PgConnection, stored: &Stored) -> Result<(), ReplayError> {
        let generation = &stored.generation;
        if !is_bulk_intact(connection, generation).await? {
            return Err(ReplayError::StagingLost);
        }
        let captured = stored.captured.clone().unwrap_or_default();
        let reached = positions(connection, generation).await?;
        let left = behind(&reached, &captured);
        let total = captured.values().sum::<i64>().unsigned_abs();
        self.progress.begin("hydrating", total);
        self.progress.advance(total - left.values().sum::<i64>().unsigned_abs());
        let verdicts = self.verdicts(generation).await?;
        let shares = shares(&captured, &left, self.parallelism);
        let earliest =
            try_join_all(shares.iter().map(|share| self.fold_share(stored, &captured, share, &verdicts))).await?;
        self.refuse_a_time_before_the_log(connection, stored, earliest.into_iter().flatten().min()).await?;
        self.merge(generation, &verdicts).await?;
        Ok(finish_bulk(connection, generation).await?)
    }

    /// Merges what is staged, of several tables at a time unless that would take a live fold's processor cores.
    async fn merge(&self, generation: &Generation, verdicts: &Verdicts) -> Result<(), ReplayError> {
        let live = verdicts.live.as_ref();
        let at_a_time = if self.give_way(live).await? { 1 } else { self.parallelism };
        let merging = self.processor.tables().map(|table| async move {
            let is_beside_live = self.give_way(live).await?;
            let mut connection = self.connect().await?;
            self.progress.begin(&format!("merging {}", table.name), 0);
            Ok(finish_table(&mut connection, generation, table, self.connections.vector_index, is_beside_live).await?)
        });
        stream::iter(merging).buffer_unordered(at_a_time).try_collect().await
    }

    /// Folds some partitions. Gives the time of the earliest event among them.
    async fn fold_share(
        &self,
        stored: &Stored,
        captured: &Offsets,
        share: &[Partition],
        verdicts: &Verdicts,
    ) -> Result<Option<DateTime<Utc>>, ReplayError> {
        let statements = Statements::in_bulk(self.processor.tables());
        let until = share.iter().map(|partition| (*partition, captured[partition])).collect();
        #[expect(clippy::cast_precision_loss, reason = "a share of a rate need not be exact")]
        let max_rate = self.max_rate.map(|rate| rate / self.parallelism as f64);
        let (folder, mut log) = self.open_fold(&stored.generation, statements, until, max_rate, verdicts).await?;
        let mut folder = folder.as_of(stored.as_of);
        let mut earliest = None;
        let mut is_live_at_work = verdicts.live.is_some();
        loop {
            let chunk_bytes = if is_live_at_work { SMALL_CHUNK_BYTES } else { CHUNK_BYTES };
            let Some(records) = log.next_chunk(chunk_bytes, CHUNK_TIME).await else { break };
            let records = records?;
            earliest = records.iter().filter_map(Record::event_time).chain(earliest).min();
            // Beside a live fold at work one fold at a time.
            let turn = if is_live_at_work {
                Either::Left(self.floor.write().await)
            } else {
                Either::Right(self.floor.read().await)
            };
            self.progress.advance(folder.fold(records).await?.records);
            drop(turn);
            is_live_at_work = self.give_way(verdicts.live.as_ref()).await?;
        }
        Ok(earliest)
    }

    async fn refuse_a_time_before_the_log(
        &self,
        connection: &mut PgConnection,
        stored: &Stored,
        earliest: Option<DateTime<Utc>>,
    ) -> Result<(), ReplayError> {
        let (Some(moment), Some(earliest)) = (stored.as_of, earliest) else { return Ok(()) };
        if earliest <= moment {
            return Ok(());
        }
        jangbogo_store::drop_generation(connection, &stored.generation).await?;
        Err(ReplayError::Refused(format!("{moment} is before the log: its earliest event is of {earliest}")))
    }
}

/// Partitions with something left, in shares of about the same size. One without anything is in the first share, so that
/// every partition has a checkpoint.
fn shares(captured: &Offsets, left: &Offsets, count: usize) -> Vec<Vec<Partition>> {
    let mut by_size: Vec<(i64, Partition)> =
        captured.keys().map(|partition| (left.get(partition).copied().unwrap_or_default(), *partition)).collect();
    by_size.sort_unstable_by(|left, right| right.cmp(left));
    let mut shares: BTreeMap<usize, (i64, Vec<Partition>)> =
        (0..count.max(1)).map(|at| (at, (0, Vec::new()))).collect();
    for (size, partition) in by_size {
        let lightest = shares.values_mut().min_by_key(|(total, partitions)| (*total, partitions.len()));
        if let Some((total, partitions)) = lightest {
            *total += size;
            partitions.push(partition);
        }
    }
    shares.into_values().map(|(_, partitions)| partitions).filter(|partitions| !partitions.is_empty()).collect()
}
