//! The cut-over: one transaction after which every reader, folder and publisher goes by another generation.

use jangbogo_fold::{Processor, Target};
use jangbogo_log::{Offsets, Partition};
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::checkpoint::offsets;
use super::generation::{Generation, Live, State, live, set_state};

/// A cut-over that has begun: the live generation's checkpoints are held, and nobody advances them until this ends.
pub struct Promotion<'c> {
    transaction: Transaction<'c, Postgres>,
    processor: &'static Processor,
    from: Option<Live>,
    to: Generation,
    held: Offsets,
}

/// Why a generation does not go live.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// Postgres is away or refuses.
    #[error("postgres does not answer as it should")]
    Postgres(#[from] sqlx::Error),
    /// There is nothing to do.
    #[error("it is live already")]
    AlreadyLive,
    /// It would forget what was folded.
    #[error("it is behind the live generation in {partitions} partitions")]
    Behind {
        /// How many.
        partitions: usize,
    },
    /// Searches would miss products.
    #[error("not all of it is in the search index yet")]
    Unpublished,
}

impl PromotionError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::AlreadyLive)
    }
}

impl<'c> Promotion<'c> {
    /// Holds the live generation where it is. Folding waits until this ends, so it must end soon; dropping it changes
    /// nothing.
    ///
    /// # Errors
    /// When Postgres is away, or the generation is live already.
    pub async fn begin(
        connection: &'c mut PgConnection,
        processor: &'static Processor,
        to: &Generation,
    ) -> Result<Self, PromotionError> {
        let mut transaction = connection.begin().await?;
        let settings = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";
        transaction.execute(sqlx::raw_sql(settings)).await?;
        // One cut-over at a time, and none while a first generation is being made.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("generation {}", processor.name))
            .execute(&mut *transaction)
            .await?;
        let from = live(&mut transaction, processor.name).await?;
        if from.as_ref().is_some_and(|live| live.generation.id == to.id) {
            return Err(PromotionError::AlreadyLive);
        }
        let held = match &from {
            Some(live) => lock(&mut transaction, &live.generation).await?,
            None => Offsets::new(),
        };
        Ok(Self { transaction, processor, from, to: to.clone(), held })
    }

    /// Where the live generation stands, and will stand until this ends.
    #[must_use]
    pub fn held(&self) -> &Offsets {
        &self.held
    }

    /// Freezes the live generation and puts the new one into its place: Postgres, Redis and Elasticsearch at once. The
    /// promotion is the one that was published ahead for, unless a later one is live by now.
    ///
    /// # Errors
    /// When the new generation is behind or not published, or Postgres is away; nothing has changed then.
    pub async fn complete(mut self, promotion: Uuid) -> Result<Live, PromotionError> {
        let reached = lock(&mut self.transaction, &self.to).await?;
        let partitions = behind(&reached, &self.held).len();
        if partitions > 0 {
            return Err(PromotionError::Behind { partitions });
        }
        self.check_published().await?;
        if let Some(live) = &self.from {
            freeze(&mut self.transaction, &live.generation, &self.to).await?;
        }
        let is_newest = self.from.as_ref().is_none_or(|live| live.promotion < promotion);
        let promotion = if is_newest { promotion } else { Uuid::now_v7() };
        let promoted = Live { generation: self.to.clone(), promotion };
        self.go_live(&promoted).await?;
        self.transaction.commit().await?;
        Ok(promoted)
    }

    fn views(&self, is_wanted: impl Fn(Target) -> bool) -> Vec<&'static str> {
        self.processor.views().filter(|view| is_wanted(view.target)).map(|view| view.name).collect()
    }

    async fn check_published(&mut self) -> Result<(), PromotionError> {
        let searched = self.views(|target| matches!(target, Target::Elasticsearch { .. }));
        if searched.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT NOT EXISTS (SELECT FROM {0}.dirty WHERE view = ANY ($1))
                AND NOT EXISTS (SELECT FROM {0}.publisher
                                WHERE pending_sweeps && $1 OR elasticsearch_incarnation IS NULL)",
            self.to.schema
        );
        let is_published: bool = sqlx::query_scalar(&sql).bind(searched).fetch_one(&mut *self.transaction).await?;
        if is_published { Ok(()) } else { Err(PromotionError::Unpublished) }
    }

    async fn go_live(&mut self, promoted: &Live) -> Result<(), sqlx::Error> {
        let Live { generation, promotion } = promoted;
        // What was published ahead lies beside the old values: a sweep puts all in their place. Marks that were made since
        // are kept, so that what has changed comes first.
        let in_redis = self.views(Target::is_kept_in_redis);
        let sql = format!("UPDATE {}.publisher SET redis_incarnation = NULL, pending_sweeps = $1", generation.schema);
        sqlx::query(&sql).bind(in_redis).execute(&mut *self.transaction).await?;
        // Whoever has folded it so far is fenced: the workers take over.
        let sql = format!("UPDATE {}.checkpoint SET epoch = epoch + 1, frozen = false", generation.schema);
        self.transaction.execute(sqlx::raw_sql(&sql)).await?;
        set_state(&mut self.transaction, generation, State::Live).await?;
        sqlx::query(
            "INSERT INTO live_generation (processor, generation, promotion) VALUES ($1, $2, $3)
             ON CONFLICT (processor) DO UPDATE
             SET generation = excluded.generation, promotion = excluded.promotion, promoted_at = now()",
        )
        .bind(&generation.processor)
        .bind(generation.id)
        .bind(promotion)
        .execute(&mut *self.transaction)
        .await
        .map(drop)
    }
}

/// Where one place in the log is behind another, and how many records by.
#[must_use]
pub fn behind(place: &Offsets, other: &Offsets) -> Offsets {
    let missing = |(partition, next): (&Partition, &i64)| {
        let missing = next - place.get(partition).copied().unwrap_or_default();
        (missing > 0).then_some((*partition, missing))
    };
    other.iter().filter_map(missing).collect()
}

/// Holds a generation's checkpoints.
async fn lock(connection: &mut PgConnection, generation: &Generation) -> Result<Offsets, sqlx::Error> {
    let sql = format!(
        "SELECT topic, partition, next_offset FROM {}.checkpoint ORDER BY topic, partition FOR UPDATE",
        generation.schema
    );
    Ok(offsets(&sqlx::query(&sql).fetch_all(connection).await?))
}

/// Nobody advances a frozen generation, nor acquires a partition of it that nobody ever acquired.
async fn freeze(connection: &mut PgConnection, old: &Generation, new: &Generation) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO {0}.checkpoint (topic, partition, next_offset, epoch)
         SELECT topic, partition, 0, 0 FROM {1}.checkpoint ON CONFLICT DO NOTHING;
         UPDATE {0}.checkpoint SET frozen = true, epoch = epoch + 1",
        old.schema, new.schema
    );
    connection.execute(sqlx::raw_sql(&sql)).await?;
    set_state(connection, old, State::Frozen).await
}

/// Lets a frozen generation be folded again, beside the live one.
///
/// # Errors
/// When Postgres is away.
pub async fn thaw(connection: &mut PgConnection, generation: &Generation) -> Result<(), sqlx::Error> {
    let sql = format!("UPDATE {}.checkpoint SET frozen = false, epoch = epoch + 1", generation.schema);
    connection.execute(sqlx::raw_sql(&sql)).await.map(drop)
}

/// Whether a value of the search index is still to be written.
///
/// # Errors
/// When Postgres is away.
pub async fn search_backlog(connection: &mut PgConnection, generation: &Generation) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM {0}.dirty) + (SELECT sum(cardinality(pending_sweeps)) FROM {0}.publisher)
              + (SELECT count(*) FROM {0}.publisher WHERE elasticsearch_incarnation IS NULL) AS backlog",
        generation.schema
    );
    let row = sqlx::query(&sql).fetch_one(connection).await?;
    Ok(row.get::<Option<i64>, _>("backlog").unwrap_or_default())
}
