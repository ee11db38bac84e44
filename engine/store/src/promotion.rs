//! Blue-green cut-over: one transaction that switches readers, workers and publishers to another generation.

use jangbogo_fold::{Processor, Target};
use jangbogo_log::{Offsets, Partition};
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::advisory::advisory_transaction_lock;
use super::checkpoint::offsets;
use super::generation::{Generation, Live, State, live, set_state};

/// A cut-over in progress: it holds the live generation's checkpoints, so that no worker advances them until it ends.
pub struct Promotion<'c> {
    transaction: Transaction<'c, Postgres>,
    processor: &'static Processor,
    from: Option<Live>,
    to: Generation,
    held: Offsets,
}

/// Failure of a cut-over.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// Postgres is unavailable or refuses.
    #[error("postgres query failed")]
    Postgres(#[from] sqlx::Error),
    /// The generation is live already.
    #[error("the generation is live already")]
    AlreadyLive,
    /// Readers would see less than before.
    #[error("the generation is behind the live one in {partitions} partitions")]
    Behind { partitions: usize },
    /// Searches would miss documents.
    #[error("the generation's search index is not complete yet")]
    Unpublished,
}

impl PromotionError {
    /// True if a retry may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::AlreadyLive)
    }
}

impl<'c> Promotion<'c> {
    /// Begins a cut-over and locks the live generation's checkpoints. Folding waits until it ends, so it must end soon;
    /// dropping it changes nothing.
    ///
    /// # Errors
    /// When the Postgres query fails, or the generation is live already.
    pub async fn begin(
        connection: &'c mut PgConnection,
        processor: &'static Processor,
        to: &Generation,
    ) -> Result<Self, PromotionError> {
        let mut transaction = connection.begin().await?;
        let settings = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";
        transaction.execute(sqlx::raw_sql(settings)).await?;
        // One cut-over at a time, and none while the first generation is created.
        advisory_transaction_lock(&mut transaction, &format!("generation {}", processor.name)).await?;
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

    /// Offsets of the live generation, fixed until the cut-over ends.
    #[must_use]
    pub fn held(&self) -> &Offsets {
        &self.held
    }

    /// Freezes the live generation and makes the new one live in Postgres, Redis and Elasticsearch at once. The
    /// promotion is the one that was published ahead, unless a later one is live by now.
    ///
    /// # Errors
    /// When the new generation is behind or not published, or the Postgres query fails; nothing has changed then.
    pub async fn complete(mut self, promotion: Uuid) -> Result<Live, PromotionError> {
        let offsets = lock(&mut self.transaction, &self.to).await?;
        let partitions = behind(&offsets, &self.held).len();
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

    fn views(&self, includes: impl Fn(Target) -> bool) -> Vec<&'static str> {
        self.processor.views().filter(|view| includes(view.target)).map(|view| view.name).collect()
    }

    async fn check_published(&mut self) -> Result<(), PromotionError> {
        let views = self.views(|target| matches!(target, Target::Elasticsearch { .. }));
        if views.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT NOT EXISTS (SELECT FROM {0}.dirty WHERE view = ANY ($1))
                AND NOT EXISTS (SELECT FROM {0}.publisher
                                WHERE pending_sweeps && $1 OR elasticsearch_incarnation IS NULL)",
            self.to.schema
        );
        let is_published: bool = sqlx::query_scalar(&sql).bind(views).fetch_one(&mut *self.transaction).await?;
        if is_published { Ok(()) } else { Err(PromotionError::Unpublished) }
    }

    async fn go_live(&mut self, promoted: &Live) -> Result<(), sqlx::Error> {
        let Live { generation, promotion } = promoted;
        // Values published ahead are beside the old ones: a full refresh replaces those. Marks made since are kept, so
        // that changed keys come first.
        let in_redis = self.views(Target::is_kept_in_redis);
        let sql = format!("UPDATE {}.publisher SET redis_incarnation = NULL, pending_sweeps = $1", generation.schema);
        sqlx::query(&sql).bind(in_redis).execute(&mut *self.transaction).await?;
        // The replay that has folded it so far is fenced: the workers take over.
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

/// The partitions in which a position in the log is behind another, and by how many records.
#[must_use]
pub fn behind(position: &Offsets, other: &Offsets) -> Offsets {
    let missing = |(partition, next): (&Partition, &i64)| {
        let missing = next - position.get(partition).copied().unwrap_or_default();
        (missing > 0).then_some((*partition, missing))
    };
    other.iter().filter_map(missing).collect()
}

/// Locks a generation's checkpoints and returns their offsets.
async fn lock(connection: &mut PgConnection, generation: &Generation) -> Result<Offsets, sqlx::Error> {
    let sql = format!(
        "SELECT topic, partition, next_offset FROM {}.checkpoint ORDER BY topic, partition FOR UPDATE",
        generation.schema
    );
    Ok(offsets(&sqlx::query(&sql).fetch_all(connection).await?))
}

/// Freezes a generation: its partitions can be neither advanced nor acquired, those never acquired before included.
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

/// Unfreezes a generation, so that it can be folded again beside the live one.
///
/// # Errors
/// When the Postgres query fails.
pub async fn thaw(connection: &mut PgConnection, generation: &Generation) -> Result<(), sqlx::Error> {
    let sql = format!("UPDATE {}.checkpoint SET frozen = false, epoch = epoch + 1", generation.schema);
    connection.execute(sqlx::raw_sql(&sql)).await.map(drop)
}

/// Number of marks and full refreshes that are still to be published to the search index.
///
/// # Errors
/// When the Postgres query fails.
pub async fn search_backlog(connection: &mut PgConnection, generation: &Generation) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM {0}.dirty) + (SELECT sum(cardinality(pending_sweeps)) FROM {0}.publisher)
              + (SELECT count(*) FROM {0}.publisher WHERE elasticsearch_incarnation IS NULL) AS backlog",
        generation.schema
    );
    let row = sqlx::query(&sql).fetch_one(connection).await?;
    Ok(row.get::<Option<i64>, _>("backlog").unwrap_or_default())
}
