//! The transaction that folds a batch, exactly once: a worker that no longer owns a partition is fenced.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use jangbogo_events::Event;
use jangbogo_fold::{Deltas, FoldConfig, KeyValue, Processor, ViewKeys, decode_key};
use jangbogo_log::{Partition, Record};
use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::checkpoint::Checkpoint;
use super::generation::Generation;
use super::statements::Statements;
use crate::fail_point::fail_point;

/// A partition's progress in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub partition: Partition,
    /// The epoch of the acquired checkpoint.
    pub epoch: i64,
    /// First offset of the batch: the checkpoint's before the commit.
    pub from: i64,
    /// Offset after the batch: the checkpoint's after the commit.
    pub to: i64,
    /// Newest event time of the folded events.
    pub max_event_time: Option<DateTime<Utc>>,
}

/// A record that was refused.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub partition: Partition,
    pub offset: i64,
    /// Append time of the broker.
    pub appended_at: DateTime<Utc>,
    /// Reason of the refusal.
    pub cause: String,
}

/// Input of one transaction.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Events in the order of reading.
    pub events: Vec<&'a Event>,
    /// Events after this time are only recorded as seen.
    pub as_of: Option<DateTime<Utc>>,
    /// Refused records, already in the dead-letter topic.
    pub dead_letters: Vec<DeadLetter>,
    /// Progress of each partition in the batch.
    pub progress: Vec<Progress>,
}

impl<'a> Batch<'a> {
    /// A batch of records that begin at their partitions' checkpoints. Events after `as_of` are not folded.
    pub fn new(
        records: &'a [Record],
        as_of: Option<DateTime<Utc>>,
        checkpoint: impl Fn(Partition) -> Checkpoint,
    ) -> Self {
        let mut batch = Batch { as_of, ..Batch::default() };
        let mut progress: BTreeMap<Partition, Progress> = BTreeMap::new();
        for record in records {
            let advance = progress.entry(record.partition).or_insert_with(|| {
                let Checkpoint { partition, next_offset, epoch } = checkpoint(record.partition);
                Progress { partition, epoch, from: next_offset, to: next_offset, max_event_time: None }
            });
            advance.to = record.offset + 1;
            match &record.outcome {
                Ok(event) => {
                    if batch.includes(event) {
                        advance.max_event_time = advance.max_event_time.max(Some(event.envelope.time));
                    }
                    batch.events.push(event);
                }
                Err(refused) => batch.dead_letters.push(DeadLetter {
                    partition: record.partition,
                    offset: record.offset,
                    appended_at: record.appended_at,
                    cause: refused.cause.clone(),
                }),
            }
        }
        batch.progress = progress.into_values().collect();
        batch
    }

    /// True if an event is folded: it is not after `as_of`.
    fn includes(&self, event: &Event) -> bool {
        self.as_of.is_none_or(|as_of| event.envelope.time <= as_of)
    }
}

/// Outcome of a commit.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    /// The batch is folded.
    Folded {
        /// Number of events that had not been folded before.
        new_events: usize,
        /// Number of rows written.
        rows: usize,
    },
    /// Nothing was folded: these partitions were acquired by another worker or are frozen.
    Fenced(Vec<Partition>),
}

/// Folds a batch in one transaction: new events, changed rows, their dirty marks, and the checkpoints.
///
/// # Errors
/// When the Postgres query fails; nothing is folded then.
pub async fn commit(
    connection: &mut PgConnection,
    processor: &Processor,
    config: &FoldConfig,
    generation: &Generation,
    statements: &Statements,
    batch: &Batch<'_>,
) -> Result<Committed, sqlx::Error> {
    let mut transaction = connection.begin_with(generation.begin("")).await?;
    let new_events = insert_seen(&mut transaction, &batch.events).await?;
    fail_point("commit-before-rows");
    let mut deltas = Deltas::new(processor);
    let config = FoldConfig { embedding_model: generation.embedding_model.clone(), ..config.clone() };
    for event in new_events.iter().copied().filter(|event| batch.includes(event)) {
        deltas.fold(processor, &config, event);
    }
    for (position, table) in deltas.tables().iter().enumerate() {
        if table.is_empty() {
            continue;
        }
        statements.write(&mut transaction, position, table).await?;
    }
    insert_dead_letters(&mut transaction, &batch.dead_letters).await?;
    if !statements.are_in_bulk() {
        mark_dirty(&mut transaction, processor, generation, &deltas).await?;
    }
    fail_point("commit-after-rows");
    let fenced = advance(&mut transaction, &batch.progress).await?;
    if !fenced.is_empty() {
        transaction.rollback().await?;
        return Ok(Committed::Fenced(fenced));
    }
    fail_point("commit-after-checkpoint");
    transaction.commit().await?;
    fail_point("commit-after-commit");
    Ok(Committed::Folded { new_events: new_events.len(), rows: deltas.row_count() })
}

/// Records the batch's events as seen and returns the new ones, each once.
async fn insert_seen<'a>(connection: &mut PgConnection, events: &[&'a Event]) -> Result<Vec<&'a Event>, sqlx::Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    // In hash order: workers that insert the same events lock them in the same order, without a deadlock.
    let mut by_hash: BTreeMap<u128, &Event> = BTreeMap::new();
    for event in events {
        by_hash.entry(event.envelope.hash()).or_insert(event);
    }
    let hashes: Vec<Uuid> = by_hash.keys().copied().map(Uuid::from_u128).collect();
    let new: Vec<Uuid> =
        sqlx::query_scalar("INSERT INTO seen (event) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event")
            .bind(hashes)
            .fetch_all(connection)
            .await?;
    Ok(new.iter().filter_map(|hash| by_hash.get(&hash.as_u128()).copied()).collect())
}

async fn insert_dead_letters(connection: &mut PgConnection, dead_letters: &[DeadLetter]) -> Result<(), sqlx::Error> {
    if dead_letters.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO dead_letter (topic, partition, record_offset, appended_at, cause)
         SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(dead_letters.iter().map(|dead_letter| dead_letter.partition.topic.name()).collect::<Vec<_>>())
    .bind(dead_letters.iter().map(|dead_letter| dead_letter.partition.number).collect::<Vec<_>>())
    .bind(dead_letters.iter().map(|dead_letter| dead_letter.offset).collect::<Vec<_>>())
    .bind(dead_letters.iter().map(|dead_letter| dead_letter.appended_at).collect::<Vec<_>>())
    .bind(dead_letters.iter().map(|dead_letter| dead_letter.cause.replace('\0', " ")).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends a mark for every key of every view that the changed rows make stale. The commit notifies the publisher.
async fn mark_dirty(
    connection: &mut PgConnection,
    processor: &Processor,
    generation: &Generation,
    deltas: &Deltas,
) -> Result<(), sqlx::Error> {
    let marks = stale_keys(processor, deltas);
    if marks.is_empty() {
        return Ok(());
    }
    let (views, keys): (Vec<&str>, Vec<String>) = marks.into_iter().unzip();
    sqlx::query(
        "WITH marked AS (INSERT INTO dirty (view, key) SELECT * FROM unnest($1::text[], $2::text[]))
         SELECT pg_notify($3, '')",
    )
    .bind(views)
    .bind(keys)
    .bind(&generation.schema)
    .execute(connection)
    .await?;
    Ok(())
}

/// Values of the watched columns in the changed rows, by view.
fn stale_keys(processor: &Processor, deltas: &Deltas) -> BTreeSet<(&'static str, String)> {
    let changed: HashMap<&str, _> = deltas.tables().iter().map(|table| (table.table().name, table)).collect();
    let mut marks = BTreeSet::new();
    for view in processor.views() {
        for watch in view.watches {
            let Some(table) = changed.get(watch.table.name).filter(|table| !table.is_empty()) else { continue };
            if let ViewKeys::Only(key) = view.keys {
                marks.insert((view.name, key.to_owned()));
                continue;
            }
            let position = watch.table.key.iter().position(|column| column.name == watch.column).unwrap_or(0);
            for row in 0..table.len() {
                let types = watch.table.key.iter().map(|column| column.column_type);
                if let Some(value) = decode_key(types, table.key(row)).nth(position) {
                    marks.insert((view.name, key_text(value)));
                }
            }
        }
    }
    marks
}

/// A key column's value as the text of a view's key.
fn key_text(value: KeyValue<'_>) -> String {
    match value {
        KeyValue::Text(text) => text.to_owned(),
        KeyValue::Integer(number) => number.to_string(),
        KeyValue::Day(day) => day.to_string(),
        KeyValue::Time(time) => time.to_rfc3339(),
        KeyValue::Id(id) => Uuid::from_u128(id).to_string(),
    }
}

/// Advances the checkpoints and returns the partitions that were fenced: acquired by another worker, or frozen.
async fn advance(connection: &mut PgConnection, progress: &[Progress]) -> Result<Vec<Partition>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE checkpoint
         SET next_offset = batch.next_offset, max_event_time = greatest(max_event_time, batch.event_time)
         FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
              AS batch (topic, partition, epoch, previous_offset, next_offset, event_time)
         WHERE checkpoint.topic = batch.topic AND checkpoint.partition = batch.partition
           AND checkpoint.next_offset = batch.previous_offset AND checkpoint.epoch = batch.epoch
           AND NOT checkpoint.frozen
         RETURNING checkpoint.topic, checkpoint.partition",
    )
    .bind(progress.iter().map(|progress| progress.partition.topic.name()).collect::<Vec<_>>())
    .bind(progress.iter().map(|progress| progress.partition.number).collect::<Vec<_>>())
    .bind(progress.iter().map(|progress| progress.epoch).collect::<Vec<_>>())
    .bind(progress.iter().map(|progress| progress.from).collect::<Vec<_>>())
    .bind(progress.iter().map(|progress| progress.to).collect::<Vec<_>>())
    .bind(progress.iter().map(|progress| progress.max_event_time).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let advanced: BTreeSet<(String, i32)> = rows.iter().map(|row| (row.get("topic"), row.get("partition"))).collect();
    let is_advanced = |partition: &Partition| advanced.contains(&(partition.topic.name().to_owned(), partition.number));
    Ok(progress.iter().map(|progress| progress.partition).filter(|partition| !is_advanced(partition)).collect())
}
