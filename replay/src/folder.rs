//! Folds what is read of the log into one generation, alone: no group says who owns a partition, checkpoints do.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_log::{Offsets, Partition, Record};
use jangbogo_platform::database;
use jangbogo_store::refusal::{is_refusal, refuse};
use jangbogo_store::{Batch, Checkpoint, Committed, Generation, Statements, acquire, commit, positions};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _};

/// Why records were not folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// Postgres is away or refuses.
    #[error("postgres does not answer as it should")]
    Postgres(#[from] sqlx::Error),
    /// Another process folds this generation, or it is frozen.
    #[error("another process has taken {0} over")]
    Fenced(Partition),
    /// Postgres has crashed, and knows less than it has acknowledged.
    #[error("postgres has crashed and lost the last of what was folded")]
    WentBack,
    /// A record that the live generation has folded is a dead letter of this one.
    #[error("{partition} offset {offset} was folded by the live generation and is a dead letter of this one: {cause}")]
    Forgotten {
        /// Where it stands.
        partition: Partition,
        /// There.
        offset: i64,
        /// Why.
        cause: String,
    },
    /// A record that the live generation has folded is refused by this program.
    #[error("{partition} offset {offset} was folded before and is refused by this program: {cause}")]
    Unreadable {
        /// Where it stands.
        partition: Partition,
        /// There.
        offset: i64,
        /// Why.
        cause: String,
    },
}

impl FoldError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(error) => database::is_unavailable(error),
            Self::WentBack => true,
            Self::Fenced(_) | Self::Forgotten { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// What the live generation has refused, and how far it is: whatever else it has folded must be readable.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    refused: HashSet<(Partition, i64)>,
    folded: Offsets,
}

impl Letters {
    /// Of a generation.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn of(connection: &mut PgConnection, generation: &Generation) -> Result<Self, sqlx::Error> {
        let folded = positions(connection, generation).await?;
        let sql = format!("SELECT topic, partition, record_offset FROM {}.dead_letter", generation.schema);
        let rows = sqlx::query(&sql).fetch_all(connection).await?;
        Ok(Self { refused: rows.iter().filter_map(position).collect(), folded })
    }

    /// Checks the dead letters of another generation: none may have been folded, unless somebody has discarded it.
    ///
    /// # Errors
    /// When Postgres is away, or one of them was folded.
    pub async fn check_letters_of(
        &self,
        connection: &mut PgConnection,
        generation: &Generation,
        discarded: &HashSet<(Partition, i64)>,
    ) -> Result<(), FoldError> {
        let sql = format!("SELECT topic, partition, record_offset, cause FROM {}.dead_letter", generation.schema);
        for row in sqlx::query(&sql).fetch_all(connection).await? {
            let Some((partition, offset)) = position(&row) else { continue };
            if self.was_folded(partition, offset) && !discarded.contains(&(partition, offset)) {
                return Err(FoldError::Forgotten { partition, offset, cause: row.get("cause") });
            }
        }
        Ok(())
    }

    fn check(&self, record: &Record) -> Result<(), FoldError> {
        let Err(refused) = &record.outcome else { return Ok(()) };
        let (partition, offset) = (record.partition, record.offset);
        if !refused.kept && self.was_folded(partition, offset) {
            return Err(FoldError::Unreadable { partition, offset, cause: refused.cause.clone() });
        }
        Ok(())
    }

    fn was_folded(&self, partition: Partition, offset: i64) -> bool {
        let is_past = self.folded.get(&partition).is_some_and(|next| offset < *next);
        is_past && !self.refused.contains(&(partition, offset))
    }
}

/// Where the record of a dead letter stands.
fn position(row: &PgRow) -> Option<(Partition, i64)> {
    let topic = jangbogo_events::Topic::from_name(row.get("topic"))?;
    Some((Partition { topic, number: row.get("partition") }, row.get("record_offset")))
}

/// What came of records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folded {
    /// How many there were.
    pub records: u64,
    /// Events that had not been folded before.
    pub new_events: u64,
}

/// The right to fold some partitions of a generation.
pub struct Folder {
    processor: &'static Processor,
    config: FoldConfig,
    pool: PgPool,
    generation: Generation,
    statements: Statements,
    letters: Letters,
    as_of: Option<DateTime<Utc>>,
    checkpoints: BTreeMap<Partition, Checkpoint>,
}

impl Folder {
    /// Takes partitions over: every earlier folder of them is fenced.
    ///
    /// # Errors
    /// When Postgres is away, or a partition is frozen.
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
            letters: Letters::default(),
            as_of: None,
            checkpoints,
        })
    }

    /// Refuses to refuse what another generation has folded.
    #[must_use]
    pub fn agreeing_with(mut self, letters: Letters) -> Self {
        self.letters = letters;
        self
    }

    /// Leaves out events that happened after that moment.
    #[must_use]
    pub fn as_of(mut self, moment: Option<DateTime<Utc>>) -> Self {
        self.as_of = moment;
        self
    }

    /// The next offset to fold of each partition.
    #[must_use]
    pub fn positions(&self) -> Offsets {
        self.checkpoints.values().map(|one| (one.partition, one.next_offset)).collect()
    }

    /// Folds records, all of them or, on an error, those before some record. What Postgres refuses is found by halving
    /// and remembered as a dead letter; no record is produced for it, because this is not the first time it is read.
    ///
    /// # Errors
    /// When Postgres is away, somebody else has taken a partition over, or a record is refused that was not before.
    pub async fn fold(&mut self, records: Vec<Record>) -> Result<Folded, FoldError> {
        let mut folded = Folded::default();
        let mut pending = vec![records];
        while let Some(mut records) = pending.pop() {
            records.retain(|record| {
                self.checkpoints.get(&record.partition).is_some_and(|one| record.offset >= one.next_offset)
            });
            for record in &records {
                self.letters.check(record)?;
            }
            if records.is_empty() {
                continue;
            }
            let batch = Batch::of(&records, self.as_of, |partition| self.checkpoints[&partition]);
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
                    return Err(self.why_fenced(*partitions.first().unwrap_or(&records[0].partition)).await?);
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

    /// Why a checkpoint is not where this fold has left it.
    async fn why_fenced(&self, partition: Partition) -> Result<FoldError, sqlx::Error> {
        let sql = format!(
            "SELECT next_offset < $3 OR epoch < $4 FROM {}.checkpoint WHERE topic = $1 AND partition = $2",
            self.generation.schema
        );
        let Checkpoint { next_offset, epoch, .. } = self.checkpoints[&partition];
        let query = sqlx::query_scalar(&sql).bind(partition.topic.name()).bind(partition.number);
        let went_back: Option<bool> = query.bind(next_offset).bind(epoch).fetch_optional(&self.pool).await?;
        Ok(if went_back == Some(true) { FoldError::WentBack } else { FoldError::Fenced(partition) })
    }
}
