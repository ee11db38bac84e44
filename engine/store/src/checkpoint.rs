//! Checkpoints: each partition's next offset to fold, and the epoch (fencing token) of the worker that may advance it.

use chrono::{DateTime, Utc};
use jangbogo_events::Topic;
use jangbogo_log::{Offsets, Partition};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::Generation;

/// The right to advance a partition from its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub partition: Partition,
    /// The next offset to fold.
    pub next_offset: i64,
    /// Fencing token: a later acquisition has a larger one, and fences this one.
    pub epoch: i64,
}

/// Acquires partitions: every earlier holder is fenced. Frozen partitions are left out of the result.
///
/// # Errors
/// When the Postgres query fails.
pub async fn acquire(
    connection: &mut PgConnection,
    generation: &Generation,
    partitions: &[Partition],
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let sql = format!(
        "INSERT INTO {0}.checkpoint AS mine (topic, partition, next_offset, epoch)
         SELECT topic, partition, 0, 1 FROM unnest($1::text[], $2::integer[]) AS acquired (topic, partition)
         ORDER BY topic, partition
         ON CONFLICT (topic, partition) DO UPDATE SET epoch = mine.epoch + 1 WHERE NOT mine.frozen
         RETURNING topic, partition, next_offset, epoch",
        generation.schema
    );
    let topics: Vec<&str> = partitions.iter().map(|partition| partition.topic.name()).collect();
    let numbers: Vec<i32> = partitions.iter().map(|partition| partition.number).collect();
    let rows = sqlx::query(&sql).bind(topics).bind(numbers).fetch_all(connection).await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let topic = Topic::from_name(row.get("topic"))?;
            let partition = Partition { topic, number: row.get("partition") };
            Some(Checkpoint { partition, next_offset: row.get("next_offset"), epoch: row.get("epoch") })
        })
        .collect())
}

/// Next offsets of a generation, for each partition that was ever acquired.
///
/// # Errors
/// When the Postgres query fails.
pub async fn positions(connection: &mut PgConnection, generation: &Generation) -> Result<Offsets, sqlx::Error> {
    let sql = format!("SELECT topic, partition, next_offset FROM {}.checkpoint", generation.schema);
    Ok(offsets(&sqlx::query(&sql).fetch_all(connection).await?))
}

/// Reads rows with `topic`, `partition` and `next_offset`.
pub(super) fn offsets(rows: &[PgRow]) -> Offsets {
    let offset = |row: &PgRow| {
        let partition = Partition { topic: Topic::from_name(row.get("topic"))?, number: row.get("partition") };
        Some((partition, row.get("next_offset")))
    };
    rows.iter().filter_map(offset).collect()
}

/// Newest event time that a generation has folded; none before the first event.
///
/// # Errors
/// When the Postgres query fails.
pub async fn watermark(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let sql = format!("SELECT max(max_event_time) FROM {}.checkpoint", generation.schema);
    sqlx::query_scalar(&sql).fetch_one(connection).await
}
