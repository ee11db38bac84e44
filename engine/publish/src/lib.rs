//! Publishes views of committed rows to Redis and Elasticsearch at least once, and again after a store has lost them.
//! One publisher per generation is elected by an advisory lock and fenced by its epoch.

mod ahead;
mod audit;
mod cleanup;
mod copies;
mod elasticsearch;
mod full_refresh;
mod redis;
mod round;

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use jangbogo_fold::{BatchPolicy, Processor, Target};
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::view::now;
use jangbogo_store::{Live, try_advisory_lock};
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
pub use self::elasticsearch::{drop_indexes, refresh_indexes};

pub use jangbogo_store::published::{PublishedValue, index_name};

/// Interval at which the publisher looks for marks without a notification, and checks the stores' instance ids.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Throttle: a publisher pauses after a round as long as the round took, but at most this long, so that the fold gets
/// its share under load. Changes made meanwhile are published together, each key once.
const REST_LIMIT: Duration = Duration::from_secs(2);

/// Shortest pause after a round with changes: further changes are batched.
const fn linger(batch_policy: BatchPolicy) -> Duration {
    match batch_policy {
        BatchPolicy::Immediate => Duration::from_millis(50),
        BatchPolicy::Linger => Duration::from_millis(200),
    }
}

/// Version of a write. Orders two values of one key: the later promotion, then the later publisher (its epoch is a
/// fencing token), then its later write.
#[derive(Clone, Copy, Debug)]
struct Version {
    promotion: Uuid,
    epoch: i64,
    number: i64,
}

/// Failure of a round or an audit.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Postgres is unavailable or refuses.
    #[error("postgres query failed")]
    Postgres(#[from] sqlx::Error),
    /// Redis is unavailable or refuses.
    #[error("redis request failed")]
    Redis(#[from] ::redis::RedisError),
    /// The pool has no connection to Redis.
    #[error("cannot connect to redis")]
    RedisPool(#[from] deadpool_redis::PoolError),
    /// Elasticsearch is unavailable or refuses.
    #[error("elasticsearch request failed")]
    Elasticsearch(#[from] ::elasticsearch::Error),
    /// Elasticsearch sent an unexpected answer.
    #[error("elasticsearch answered {0}")]
    Answer(String),
    /// A store was emptied or replaced since the round began: everything is published again.
    #[error("{0} was emptied or replaced")]
    OtherInstance(&'static str),
    /// Another generation went live during an audit.
    #[error("another generation went live during the audit: audit that one")]
    OtherPromotion,
}

/// The stores that a generation is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// All stores: the generation is live.
    All,
    /// Elasticsearch only, which holds several generations side by side: the generation is not live yet.
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

/// Settings, processor, checks and metrics of a publisher.
#[derive(Clone)]
pub struct PublisherContext {
    pub connections: Connections,
    pub processor: &'static Processor,
    /// The generation to publish; a change ends the current turn.
    pub live: watch::Receiver<Live>,
    pub stores: Stores,
    /// Listens for notifications of the fold.
    pub pool: PgPool,
    pub metrics: ProcessorMetrics,
    pub redis_check: CheckHandle,
    pub search_check: CheckHandle,
}

/// The elected publisher of a generation.
struct Publisher {
    context: PublisherContext,
    live: Live,
    connection: PgConnection,
    redis: Option<RedisSink>,
    search: Option<SearchSink>,
    version: Version,
    refreshes: FullRefreshes,
    cleanup: Cleanup,
}

/// Publishes until `stop`: waits until it is elected, and starts over after a failure or when another generation goes
/// live.
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
            warn!(processor = context.processor.name, error = %causes(&error), "publishing failed; retrying");
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
        PublishError::Redis(_) | PublishError::RedisPool(_) | PublishError::OtherInstance(redis::STORE) => {
            context.redis_check.failing(causes(error));
            "redis"
        }
        PublishError::Elasticsearch(_) | PublishError::Answer(_) | PublishError::OtherInstance(_) => {
            context.search_check.failing(causes(error));
            "elasticsearch"
        }
    };
    context.metrics.retries_total.with_label_values(&[server]).inc();
}

impl Publisher {
    /// Waits for leadership of this generation's publishing, then takes an epoch larger than any before.
    async fn take_turn(context: &PublisherContext, live: Live) -> Result<Self, PublishError> {
        let mut connection = database::options(&context.connections, "publisher")?
            // A round holds its snapshot until the stores acknowledge. The session of a process that was stopped must
            // end, so that another one is elected.
            .options([("idle_in_transaction_session_timeout", "60s"), ("idle_session_timeout", "15s")])
            .connect()
            .await?;
        let schema = &live.generation.schema;
        while !try_advisory_lock(&mut connection, &format!("publisher {schema} 0")).await? {
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
        let with_values = published().filter(|view| view.target != Target::RedisEviction);
        let refreshes = FullRefreshes::new(with_values, &pending);
        refreshes.save(&mut connection).await?;
        info!(processor = context.processor.name, epoch = version.epoch, "publishing");
        if redis.is_none() {
            context.redis_check.ok();
        }
        if search.is_none() {
            context.search_check.ok();
        }
        let context = context.clone();
        Ok(Self { context, live, connection, redis, search, version, refreshes, cleanup: Cleanup::START })
    }

    async fn publish(&mut self, backoff: &mut Backoff) -> Result<(), PublishError> {
        let mut listener = PgListener::connect_with(&self.context.pool).await?;
        listener.listen(&self.live.generation.schema).await?;
        let mut checked_at = None::<Instant>;
        loop {
            if checked_at.is_none_or(|at| at.elapsed() >= POLL_INTERVAL) {
                self.check_stores().await?;
                self.check_tick().await?;
                checked_at = Some(Instant::now());
            }
            let started = Instant::now();
            let changed = self.round().await?;
            let refreshed = self.full_refresh().await? + self.clean_up().await?;
            *backoff = Backoff::default();
            if changed + refreshed > 0 {
                self.context.metrics.publish_round_seconds.observe(started.elapsed().as_secs_f64());
                // A full refresh does not linger.
                let at_least =
                    if refreshed == 0 { linger(self.context.processor.batch_policy) } else { Duration::ZERO };
                tokio::time::sleep(started.elapsed().min(REST_LIMIT).max(at_least)).await;
                // The next round reads the rows that these notifications are about.
                while let Some(Ok(_)) = listener.recv().now_or_never() {}
                continue;
            }
            self.context.metrics.publish_backlog.set(0);
            if let Ok(woken) = tokio::time::timeout(POLL_INTERVAL, listener.recv()).await {
                woken?;
            }
        }
    }

    /// A store with another instance id has lost what was published: every view in it gets a full refresh.
    async fn check_stores(&mut self) -> Result<(), PublishError> {
        if let Some(redis) = &mut self.redis {
            if let Some(instance_id) = redis.changed_instance().await? {
                self.refreshes.restart(Target::is_kept_in_redis);
                self.cleanup = Cleanup::START;
                self.save_instance(redis::STORE, &instance_id).await?;
            }
            self.context.redis_check.ok();
        }
        if let Some(search) = &mut self.search {
            if let Some(instance_id) = search.changed_instance().await? {
                self.refreshes.restart(|target| matches!(target, Target::Elasticsearch { .. }));
                self.save_instance(elasticsearch::STORE, &instance_id).await?;
            }
            self.context.search_check.ok();
        }
        Ok(())
    }

    /// Saves a store's instance id and the pending full refreshes before anything is written to the store.
    async fn save_instance(&mut self, store: &str, instance_id: &str) -> Result<(), PublishError> {
        info!(processor = self.context.processor.name, store, "store is empty or new; publishing everything again");
        let sql = format!("UPDATE publisher SET {store}_incarnation = $1, pending_sweeps = $2 WHERE shard = 0");
        sqlx::query(&sql).bind(instance_id).bind(self.refreshes.pending()).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Values that depend on the watermark become stale when it enters another tick.
    async fn check_tick(&mut self) -> Result<(), PublishError> {
        let tick = now(&mut self.connection, &self.live.generation).await?;
        if self.refreshes.enter_tick(tick) {
            self.refreshes.save(&mut self.connection).await?;
        }
        Ok(())
    }
}

/// Resolves unqualified names of this connection to one generation's tables, and plans each statement once.
async fn set_session_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let sql = format!("SET search_path = {schema}, public; SET plan_cache_mode = force_generic_plan");
    connection.execute(sqlx::raw_sql(&sql)).await?;
    Ok(())
}
