//! Folds records into one generation without a consumer group: partitions are owned by the epoch of their checkpoints.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_log::{Offsets, Partition, Record};
use jangbogo_platform::database;
use jangbogo_store::refusal::{is_refusal, refuse};
use jangbogo_store::{Batch, Checkpoint, Committed, Generation, Statements, acquire, commit, positions};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _};

#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// Postgres is unavailable or refuses.
    #[error("postgres query failed")]
    Postgres(#[from] sqlx::Error),
    /// Fenced: another process has taken the partition over, or the generation is frozen.
    #[error("{0} is fenced: another process has taken it over")]
    Fenced(Partition),
    /// Postgres crashed and lost acknowledged commits.
    #[error("postgres crashed and lost the latest commits of the fold")]
    CommitsLost,
    /// A record that the live generation accepted is a dead letter of this one.
    #[error("{partition} offset {offset} was folded by the live generation and is a dead letter of this one: {cause}")]
    DeadLettered { partition: Partition, offset: i64, cause: String },
    /// A record that the live generation accepted cannot be decoded by this program.
    #[error("{partition} offset {offset} was folded before and is refused by this program: {cause}")]
    Unreadable { partition: Partition, offset: i64, cause: String },
}

impl FoldError {
    /// True if a retry may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(error) => database::is_unavailable(error),
            Self::CommitsLost => true,
            Self::Fenced(_) | Self::DeadLettered { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// Dead letters of the live generation, and its positions: every other record before them was accepted.
#[derive(Clone, Debug, Default)]
pub struct DeadLetters {
    refused: HashSet<(Partition, i64)>,
    positions: Offsets,
}

impl DeadLetters {
    /// Reads the dead letters and positions of a generation.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn load(connection: &mut PgConnection, generation: &Generation) -> Result<Self, sqlx::Error> {
        let positions = positions(connection, generation).await?;
        let sql = format!("SELECT topic, partition, record_offset FROM {}.dead_letter", generation.schema);
        let rows = sqlx::query(&sql).fetch_all(connection).await?;
        Ok(Self { refused: rows.iter().filter_map(record_position).collect(), positions })
    }

    /// Checks the dead letters of another generation.
    ///
    /// # Errors
    /// When the Postgres query fails, or the live generation accepted one of them that no operator has discarded.
    pub async fn check_dead_letters_of(
        &self,
        connection: &mut PgConnection,
        generation: &Generation,
        discarded: &HashSet<(Partition, i64)>,
    ) -> Result<(), FoldError> {
        let sql = format!("SELECT topic, partition, record_offset, cause FROM {}.dead_letter", generation.schema);
        for row in sqlx::query(&sql).fetch_all(connection).await? {
            let Some((partition, offset)) = record_position(&row) else { continue };
            if self.was_accepted(partition, offset) && !discarded.contains(&(partition, offset)) {
                return Err(FoldError::DeadLettered { partition, offset, cause: row.get("cause") });
            }
        }
        Ok(())
    }

    /// Fails if a record that would be dead-lettered was accepted by the live generation.
    fn check(&self, record: &Record) -> Result<(), FoldError> {
        let Err(refused) = &record.outcome else { return Ok(()) };
        let (partition, offset) = (record.partition, record.offset);
        if !refused.kept && self.was_accepted(partition, offset) {
            return Err(FoldError::Unreadable { partition, offset, cause: refused.cause.clone() });
        }
        Ok(())
    }

    fn was_accepted(&self, partition: Partition, offset: i64) -> bool {
        let is_past = self.positions.get(&partition).is_some_and(|next| offset < *next);
        is_past && !self.refused.contains(&(partition, offset))
    }
}

/// Partition and offset of a dead letter's record.
fn record_position(row: &PgRow) -> Option<(Partition, i64)> {
    let topic = jangbogo_events::Topic::from_name(row.get("topic"))?;
    Some((Partition { topic, number: row.get("partition") }, row.get("record_offset")))
}

/// Result of folding a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folded {
    pub records: u64,
    /// Number of events that were not duplicates.
    pub new_events: u64,
}

/// Owner of some partitions of a generation, by the epochs of their checkpoints (fencing tokens).
pub struct Folder {
    processor: &'static Processor,
    config: FoldConfig,
    pool: PgPool,
    generation: Generation,
    statements: Statements,
    dead_letters: DeadLetters,
    as_of: Option<DateTime<Utc>>,
    checkpoints: BTreeMap<Partition, Checkpoint>,
}

impl Folder {
    /// Takes partitions over and fences every earlier folder of them.
    ///
    /// # Errors
    /// When the Postgres query fails, or a partition is frozen.
    pub async fn acquire(
        pool: &PgPool,
        processor: &'static Processor,
        config: &FoldConfig,
        generation: &Generation,
        statements: Statements,
        partitions: &[Partition],
    ) -> Result<Self, FoldError> {
        let mut connection = pool.acquire().await?;
        let acquired = acquire(&mut connection, generation, partitions).await?;
        let checkpoints: BTreeMap<Partition, Checkpoint> = acquired.iter().map(|one| (one.partition, *one)).collect();
        if let Some(frozen) = partitions.iter().find(|partition| !checkpoints.contains_key(partition)) {
            return Err(FoldError::Fenced(*frozen));
        }
        Ok(Self {
            processor,
            config: config.clone(),
            pool: pool.clone(),
            generation: generation.clone(),
            statements,
            dead_letters: DeadLetters::default(),
            as_of: None,
            checkpoints,
        })
    }

    /// Fails if a record that would be dead-lettered was accepted by the live generation.
    #[must_use]
    pub fn with_dead_letters(mut self, dead_letters: DeadLetters) -> Self {
        self.dead_letters = dead_letters;
        self
    }

    /// Skips events that happened after a time.
    #[must_use]
    pub fn as_of(mut self, time: Option<DateTime<Utc>>) -> Self {
        self.as_of = time;
        self
    }

    /// The next offset to fold of each partition.
    #[must_use]
    pub fn positions(&self) -> Offsets {
        self.checkpoints.values().map(|one| (one.partition, one.next_offset)).collect()
    }

    /// Folds records; on an error, those before some record. A record that Postgres refuses is found by bisection and
    /// stored as a dead letter; nothing is produced to the dead-letter topic, because the live fold has done so.
    ///
    /// # Errors
    /// When the Postgres query fails, a partition is fenced, or a record is refused that the live generation accepted.
    pub async fn fold(&mut self, records: Vec<Record>) -> Result<Folded, FoldError> {
        let mut folded = Folded::default();
        let mut pending = vec![records];
        while let Some(mut records) = pending.pop() {
            records.retain(|record| {
                self.checkpoints.get(&record.partition).is_some_and(|one| record.offset >= one.next_offset)
            });
            for record in &records {
                self.dead_letters.check(record)?;
            }
            if records.is_empty() {
                continue;
            }
            let batch = Batch::new(&records, self.as_of, |partition| self.checkpoints[&partition]);
            let Self { pool, processor, config, generation, statements, .. } = self;
            // The connection goes back to the pool before the outcome is looked at, which may ask for one.
            let committed =
                commit(&mut *pool.acquire().await?, processor, config, generation, statements, &batch).await;
            match committed {
                Ok(Committed::Folded { new_events, .. }) => {
                    folded.records += records.len() as u64;
                    folded.new_events += new_events as u64;
                    for progress in batch.progress {
                        if let Some(checkpoint) = self.checkpoints.get_mut(&progress.partition) {
                            checkpoint.next_offset = progress.to;
                        }
                    }
                }
                Ok(Committed::Fenced(partitions)) => {
                    return Err(self.fencing_error(*partitions.first().unwrap_or(&records[0].partition)).await?);
                }
                Err(error) if is_refusal(&error) && records.len() > 1 => {
                    let second = records.split_off(records.len() / 2);
                    pending.push(second);
                    pending.push(records);
                }
                Err(error) if is_refusal(&error) => {
                    refuse(&mut records, &error);
                    pending.push(records);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(folded)
    }

    /// The reason that a checkpoint is not where this fold has left it.
    async fn fencing_error(&self, partition: Partition) -> Result<FoldError, sqlx::Error> {
        let sql = format!(
            "SELECT next_offset < $3 OR epoch < $4 FROM {}.checkpoint WHERE topic = $1 AND partition = $2",
            self.generation.schema
        );
        let Checkpoint { next_offset, epoch, .. } = self.checkpoints[&partition];
        let query = sqlx::query_scalar(&sql).bind(partition.topic.name()).bind(partition.number);
        let is_older: Option<bool> = query.bind(next_offset).bind(epoch).fetch_optional(&self.pool).await?;
        Ok(if is_older == Some(true) { FoldError::CommitsLost } else { FoldError::Fenced(partition) })
    }
}
