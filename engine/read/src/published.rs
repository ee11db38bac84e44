//! Reads published values and cached texts from Redis, behind a circuit breaker.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Connection, Pool, PoolError};
use jangbogo_fold::Target;
use jangbogo_platform::namespace::Namespace;
use jangbogo_resilience::breaker::{Breaker, CallError};
use jangbogo_store::published::{self, Published, PublishedValue};
use jangbogo_telemetry::causes;
use redis::{FromRedisValue, Pipeline, RedisError, Value as Reply};
use tracing::{info, warn};
use uuid::Uuid;

use super::ViewKey;

/// Timeout of a request to Redis, after which Postgres answers.
const TIME_LIMIT: Duration = Duration::from_millis(250);

/// Failure of a request to Redis.
#[derive(Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// Redis refuses the request, or the connection broke.
    #[error("redis request failed")]
    Request(#[from] RedisError),
    /// The pool has no connection to Redis.
    #[error("cannot connect to redis")]
    Connect(#[from] PoolError),
    #[error("redis timed out after {TIME_LIMIT:?}")]
    Timeout,
}

/// Result of looking up a published value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lookup {
    /// The value in Redis under the requested promotion.
    Redis(PublishedValue),
    /// The view is not published to Redis.
    NotPublished,
    /// The request named the generation: its rows are read.
    NamedGeneration,
    Unavailable,
}

impl Lookup {
    /// The value's source as the metric's label; none for a view that is not published to Redis.
    pub(super) fn source(&self) -> Option<&'static str> {
        match self {
            Self::Redis(PublishedValue::Value(_)) => Some("redis"),
            Self::Redis(PublishedValue::Missing | PublishedValue::Unreadable) => Some("postgres_missing"),
            Self::Redis(PublishedValue::OtherPromotion) => Some("postgres_other_promotion"),
            Self::NotPublished => None,
            Self::NamedGeneration => Some("postgres_named_generation"),
            Self::Unavailable => Some("postgres_redis_away"),
        }
    }
}

/// Redis with a short timeout and a circuit breaker. Clones share the breaker's state.
#[derive(Clone, Debug)]
pub(super) struct PublishedViews {
    pool: Pool,
    namespace: Namespace,
    breaker: Arc<Breaker>,
}

impl PublishedViews {
    pub(super) fn new(pool: Pool, namespace: Namespace) -> Self {
        Self { pool, namespace, breaker: Arc::default() }
    }

    /// Looks up values, all in one round trip.
    pub(super) async fn read(&self, promotion: Uuid, keys: &[ViewKey<'_>]) -> Vec<Lookup> {
        let mut lookups = vec![Lookup::NotPublished; keys.len()];
        // A ranking and its stamp must be of one snapshot.
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let mut requested = Vec::new();
        for (position, ViewKey { view, key }) in keys.iter().enumerate() {
            match view.target {
                Target::RedisHash => {
                    published::read_hash(&mut pipeline, published::hash_key(&self.namespace, view, key));
                }
                Target::RedisRanking => published::read_ranking(&mut pipeline, &self.namespace, view),
                Target::Postgres | Target::RedisEviction | Target::Elasticsearch { .. } => continue,
            }
            requested.push(position);
        }
        if requested.is_empty() {
            return lookups;
        }
        let Some(replies) = self.request::<Vec<Reply>>(&pipeline).await else {
            for position in requested {
                lookups[position] = Lookup::Unavailable;
            }
            return lookups;
        };
        let promotion = promotion.to_string();
        let mut replies = replies.into_iter();
        for position in requested {
            let published = match keys[position].view.target {
                Target::RedisRanking => Published::from_ranking(replies.next(), replies.next()),
                _ => Published::from_hash(replies.next()),
            };
            lookups[position] = Lookup::Redis(
                published.map_or(PublishedValue::Unreadable, |published| published.live_or_ahead(&promotion)),
            );
        }
        lookups
    }

    /// A cached text; none if it is absent or Redis is unavailable.
    pub(super) async fn get(&self, key: &str) -> Option<String> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.namespace.redis_key(key));
        let (text,): (Option<String>,) = self.request(&pipeline).await?;
        text
    }

    /// Caches a text for a time to live.
    pub(super) async fn put(&self, key: &str, text: &str, ttl: Duration) {
        let milliseconds = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(self.namespace.redis_key(key)).arg(text).arg("PX").arg(milliseconds).ignore();
        self.request::<()>(&pipeline).await;
    }

    pub(super) async fn ping(&self) -> Result<(), RedisUnavailable> {
        self.attempt::<()>(&ping()).await?;
        if self.breaker.close() {
            log_recovery();
        }
        Ok(())
    }

    /// The replies; none while Redis is unavailable.
    async fn request<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        let probe = || {
            let views = self.clone();
            async move { views.attempt::<()>(&ping()).await }
        };
        match self.breaker.call(self.attempt(pipeline), probe, log_recovery).await {
            Ok(replies) => Some(replies),
            Err(CallError::Failed { error, opened }) => {
                if opened {
                    warn!(error = %causes(&error), "redis unavailable; reading from postgres");
                }
                None
            }
            Err(CallError::Rejected) => None,
        }
    }

    async fn attempt<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisUnavailable> {
        let attempt = async {
            let mut connection: Connection = self.pool.get().await?;
            Ok(pipeline.query_async(&mut connection).await?)
        };
        tokio::time::timeout(TIME_LIMIT, attempt).await.unwrap_or(Err(RedisUnavailable::Timeout))
    }
}

fn ping() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("PING").ignore();
    pipeline
}

fn log_recovery() {
    info!("redis recovered");
}
