//! The publisher: copies views of committed rows to Redis and Elasticsearch, and again when they have lost them.

mod ahead;
mod audit;
mod cleanup;
mod copies;
mod elasticsearch;
mod full_refresh;
mod redis;
mod round;

use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use futures::FutureExt as _;
use jangbogo_fold::{BatchPolicy, Processor, Target};
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::Live;
use jangbogo_store::view::now;
use jangbogo_telemetry::{CheckHandle, ProcessorMetrics, causes};
use sqlx::postgres::{PgConnection, PgListener, PgPool};
use sqlx::{ConnectOptions as _, Executor as _, Row as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::cleanup::Cleanup;
use self::elasticsearch::SearchSink;
use self::full_refresh::FullRefreshes;
use self::redis::RedisSink;

pub use self::ahead::publish_ahead;
pub use self::audit::{Audit, Difference, audit};
pub use self::copies::Found;
pub use self::elasticsearch::client as search_client;
pub use self::elasticsearch::{drop_indexes, index_name, refresh_indexes};
pub use self::redis::{FIELD_NEXT_PROMOTION, FIELD_NEXT_VALUE, FIELD_PROMOTION, FIELD_VALUE};

/// What wakes the publisher when no notification comes; also how often the stores' incarnations are looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A publisher rests after a round as long as that took, but no longer than this, so that under load the fold has its
/// share. What is changed meanwhile is published at once then, and a key that changed often is evaluated once.
const REST_LIMIT: Duration = Duration::from_secs(2);

/// A publisher rests at least so long after changes, so that others gather.
const fn linger(batch_policy: BatchPolicy) -> Duration {
    match batch_policy {
        BatchPolicy::Immediate => Duration::from_millis(50),
        BatchPolicy::Linger => Duration::from_millis(200),
    }
}

/// Orders two values of one key: the later promotion, then the later publisher, then its later write.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub promotion: Uuid,
    pub epoch: i64,
    pub number: i64,
}

/// Why a round did not end.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Postgres is away or refuses.
    #[error("postgres")]
    Postgres(#[from] sqlx::Error),
    /// Redis is away or refuses.
    #[error("redis")]
    Redis(#[from] ::redis::RedisError),
    /// No connection to Redis.
    #[error("redis")]
    RedisPool(#[from] deadpool_redis::PoolError),
    /// Elasticsearch is away or refuses.
    #[error("elasticsearch")]
    Elasticsearch(#[from] ::elasticsearch::Error),
    /// Elasticsearch answers something else than was expected.
    #[error("elasticsearch answered {0}")]
    Answer(String),
    /// A store was emptied or replaced since the round began; all is published again.
    #[error("{0} is not the one that was published to before")]
    OtherIncarnation(&'static str),
    /// What was published is of another promotion now.
    #[error("another generation went live meanwhile: audit that one")]
    OtherPromotion,
}

/// Which stores a generation is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Every one: the generation is live.
    All,
    /// Those that hold several generations beside each other: it is not live yet.
    Search,
}

impl Stores {
    fn has(self, target: Target) -> bool {
        match target {
            Target::Postgres => false,
            Target::RedisHash | Target::RedisRanking | Target::RedisEviction => self == Stores::All,
            Target::Elasticsearch { .. } => true,
        }
    }
}

/// Where publishers stand on: shared by every processor of a process.
#[derive(Clone)]
pub struct PublisherContext {
    /// Where the servers are.
    pub connections: Connections,
    /// Whose views.
    pub processor: &'static Processor,
    /// Of which rows; of others once these are no longer live.
    pub live: watch::Receiver<Live>,
    /// To which stores.
    pub stores: Stores,
    /// For notifications.
    pub pool: PgPool,
    /// What is counted.
    pub metrics: ProcessorMetrics,
    /// Redis' readiness.
    pub redis_check: CheckHandle,
    /// Elasticsearch's readiness.
    pub search_check: CheckHandle,
}

/// The one publisher of a generation.
pub struct Publisher {
    context: PublisherContext,
    live: Live,
    connection: PgConnection,
    redis: Option<RedisSink>,
    search: Option<SearchSink>,
    version: Version,
    refreshes: FullRefreshes,
    cleanup: Cleanup,
}

/// Publishes until it is asked to stop: waits for its turn, and begins anew whenever a server was away or another
/// generation is live.
pub async fn run(mut context: PublisherContext, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    loop {
        let live = context.live.borrow_and_update().clone();
        let mut live_changes = context.live.clone();
        let turn = async { Publisher::take_turn(&context, live).await?.publish(&mut backoff).await };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = live_changes.changed() => continue,
            outcome = turn => outcome,
        };
        if let Err(error) = outcome {
            warn!(processor = context.processor.name, error = %causes(&error), "publishing was interrupted");
            report(&context, &error);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = backoff.wait() => {}
        }
    }
}

fn report(context: &PublisherContext, error: &PublishError) {
    let server = match error {
        PublishError::Postgres(_) | PublishError::OtherPromotion => "postgres",
        PublishError::Redis(_) | PublishError::RedisPool(_) | PublishError::OtherIncarnation(redis::STORE) => {
            context.redis_check.failing(causes(error));
            "redis"
        }
        PublishError::Elasticsearch(_) | PublishError::Answer(_) | PublishError::OtherIncarnation(_) => {
            context.search_check.failing(causes(error));
            "elasticsearch"
        }
    };
    context.metrics.retries_total.with_label_values(&[server]).inc();
}

impl Publisher {
    /// Waits until no other process publishes this generation, then takes a larger epoch than any before.
    async fn take_turn(context: &PublisherContext, live: Live) -> Result<Self, PublishError> {
        let mut connection = database::options(&context.connections, "publisher")?
            // A round holds its snapshot while the stores acknowledge. The session of a process that was stopped ends,
            // so that another may publish.
            .options([("idle_in_transaction_session_timeout", "60s"), ("idle_session_timeout", "15s")])
            .connect()
            .await?;
        let schema = &live.generation.schema;
        while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(format!("publisher {schema} 0"))
            .fetch_one(&mut connection)
            .await?
        {
            context.redis_check.ok();
            context.search_check.ok();
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        set_session_schema(&mut connection, schema).await?;
        let row = sqlx::query(
            "UPDATE publisher SET epoch = epoch + 1 WHERE shard = 0
             RETURNING epoch, pending_sweeps, redis_incarnation, elasticsearch_incarnation",
        )
        .fetch_one(&mut connection)
        .await?;
        let version = Version { promotion: live.promotion, epoch: row.get("epoch"), number: 0 };
        let published = || context.processor.views().filter(|view| context.stores.has(view.target));
        let redis = if published().any(|view| !matches!(view.target, Target::Elasticsearch { .. })) {
            Some(RedisSink::new(&context.connections, row.get("redis_incarnation"))?)
        } else {
            None
        };
        let search = SearchSink::new(context, &live.generation, row.get("elasticsearch_incarnation"))?;
        let pending: Vec<String> = row.get("pending_sweeps");
        let kept = published().filter(|view| view.target != Target::RedisEviction);
        let refreshes = FullRefreshes::new(kept, &pending);
        refreshes.remember(&mut connection).await?;
        info!(processor = context.processor.name, epoch = version.epoch, "publishing");
        if redis.is_none() {
            context.redis_check.ok();
        }
        if search.is_none() {
            context.search_check.ok();
        }
        let context = context.clone();
        Ok(Self { context, live, connection, redis, search, version, refreshes, cleanup: Cleanup::BEGINNING })
    }

    async fn publish(&mut self, backoff: &mut Backoff) -> Result<(), PublishError> {
        let mut listener = PgListener::connect_with(&self.context.pool).await?;
        listener.listen(&self.live.generation.schema).await?;
        let mut looked_at = None::<Instant>;
        loop {
            if looked_at.is_none_or(|at| at.elapsed() >= POLL_INTERVAL) {
                self.look_at_stores().await?;
                self.look_at_tick().await?;
                looked_at = Some(Instant::now());
            }
            let started = Instant::now();
            let changed = self.round().await?;
            let swept = self.sweep().await? + self.clean_up().await?;
            *backoff = Backoff::default();
            if changed + swept > 0 {
                self.context.metrics.publish_round_seconds.observe(started.elapsed().as_secs_f64());
                // A sweep waits for nothing to gather.
                let at_least = if swept == 0 { linger(self.context.processor.batch_policy) } else { Duration::ZERO };
                tokio::time::sleep(started.elapsed().min(REST_LIMIT).max(at_least)).await;
                // What they are about is in the rows that are read next.
                while let Some(Ok(_)) = listener.recv().now_or_never() {}
                continue;
            }
            self.context.metrics.publish_backlog.set(0);
            if let Ok(woken) = tokio::time::timeout(POLL_INTERVAL, listener.recv()).await {
                woken?;
            }
        }
    }

    /// A store with another incarnation has lost what was published: every view in it is swept.
    async fn look_at_stores(&mut self) -> Result<(), PublishError> {
        if let Some(redis) = &mut self.redis {
            if let Some(incarnation) = redis.look().await? {
                self.refreshes.begin_anew(Target::is_kept_in_redis);
                self.cleanup = Cleanup::BEGINNING;
                self.remember(redis::STORE, &incarnation).await?;
            }
            self.context.redis_check.ok();
        }
        if let Some(search) = &mut self.search {
            if let Some(incarnation) = search.look().await? {
                self.refreshes.begin_anew(|target| matches!(target, Target::Elasticsearch { .. }));
                self.remember(elasticsearch::STORE, &incarnation).await?;
            }
            self.context.search_check.ok();
        }
        Ok(())
    }

    /// Remembers a store's incarnation, and that sweeps are due, before anything is written to it.
    async fn remember(&mut self, store: &str, incarnation: &str) -> Result<(), PublishError> {
        info!(processor = self.context.processor.name, store, "the store is empty or new: publishing all again");
        let sql = format!("UPDATE publisher SET {store}_incarnation = $1, pending_sweeps = $2 WHERE shard = 0");
        sqlx::query(&sql).bind(incarnation).bind(self.refreshes.pending()).execute(&mut self.connection).await?;
        Ok(())
    }

    /// When the watermark enters another tick, values that depend on it are stale.
    async fn look_at_tick(&mut self) -> Result<(), PublishError> {
        let tick = now(&mut self.connection, &self.live.generation).await?;
        if self.refreshes.enter(tick) {
            self.refreshes.remember(&mut self.connection).await?;
        }
        Ok(())
    }
}

/// Every statement of this connection means one generation's tables, and is planned once.
async fn set_session_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let sql = format!("SET search_path = {schema}, public; SET plan_cache_mode = force_generic_plan");
    connection.execute(sqlx::raw_sql(&sql)).await?;
    Ok(())
}
