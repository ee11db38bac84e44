//! The transaction that folds a batch: exactly once, whatever crashes and whoever else believes to own a partition.

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

/// How far one partition goes in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which.
    pub partition: Partition,
    /// As acquired.
    pub epoch: i64,
    /// Where the batch begins: what the checkpoint must say.
    pub from: i64,
    /// Where it ends: what the checkpoint will say.
    pub to: i64,
    /// The newest event time in it.
    pub max_event_time: Option<DateTime<Utc>>,
}

/// A record that is no event.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Where it stands.
    pub partition: Partition,
    /// There.
    pub offset: i64,
    /// When the broker appended it.
    pub appended_at: DateTime<Utc>,
    /// Why it is refused.
    pub cause: String,
}

/// What one transaction folds.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// In the order they were read.
    pub events: Vec<&'a Event>,
    /// Events after this moment are remembered as seen, and nothing else.
    pub as_of: Option<DateTime<Utc>>,
    /// Refused records, already in the dead-letter topic.
    pub dead_letters: Vec<DeadLetter>,
    /// For each partition in it.
    pub progress: Vec<Progress>,
}

impl<'a> Batch<'a> {
    /// Records from where their partitions' checkpoints stand, those after a moment left out.
    pub fn of(
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
                    if batch.has(event) {
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

    /// Whether an event happened early enough.
    fn has(&self, event: &Event) -> bool {
        self.as_of.is_none_or(|moment| event.envelope.time <= moment)
    }
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is folded.
    Folded {
        /// Events that had not been folded before.
        new_events: usize,
        /// Rows written.
        rows: usize,
    },
    /// Nothing was folded: these partitions have another owner, or are frozen.
    Fenced(Vec<Partition>),
}

/// Folds a batch in one transaction: what is new of it, its rows, their dirty marks, and the checkpoints.
///
/// # Errors
/// When Postgres is away or refuses; nothing is folded then.
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
    for event in new_events.iter().copied().filter(|event| batch.has(event)) {
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

/// Remembers the batch's events and gives those that were not remembered before, each once.
async fn insert_seen<'a>(connection: &mut PgConnection, events: &[&'a Event]) -> Result<Vec<&'a Event>, sqlx::Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    // A map in hash order: two workers that meet the same events wait for each other in one direction only.
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

async fn insert_dead_letters(connection: &mut PgConnection, letters: &[DeadLetter]) -> Result<(), sqlx::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO dead_letter (topic, partition, record_offset, appended_at, cause)
         SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(letters.iter().map(|letter| letter.partition.topic.name()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.partition.number).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.offset).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.appended_at).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.cause.replace('\0', " ")).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends a mark for every key of every view that the changed rows make stale. The publisher is told once this commits.
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

/// The watched columns' values of the changed rows, by view.
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

/// A key column's value as the text that a view's key is.
fn key_text(value: KeyValue<'_>) -> String {
    match value {
        KeyValue::Text(text) => text.to_owned(),
        KeyValue::Integer(number) => number.to_string(),
        KeyValue::Day(day) => day.to_string(),
        KeyValue::Time(time) => time.to_rfc3339(),
        KeyValue::Id(id) => Uuid::from_u128(id).to_string(),
    }
}

/// Advances the checkpoints and gives the partitions that could not be: each has been taken over, or is frozen.
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
    .bind(progress.iter().map(|one| one.partition.topic.name()).collect::<Vec<_>>())
    .bind(progress.iter().map(|one| one.partition.number).collect::<Vec<_>>())
    .bind(progress.iter().map(|one| one.epoch).collect::<Vec<_>>())
    .bind(progress.iter().map(|one| one.from).collect::<Vec<_>>())
    .bind(progress.iter().map(|one| one.to).collect::<Vec<_>>())
    .bind(progress.iter().map(|one| one.max_event_time).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let advanced: BTreeSet<(String, i32)> = rows.iter().map(|row| (row.get("topic"), row.get("partition"))).collect();
    let is_advanced =
        |one: &&Progress| advanced.contains(&(one.partition.topic.name().to_owned(), one.partition.number));
    Ok(progress.iter().filter(|one| !is_advanced(one)).map(|one| one.partition).collect())
}
