//! L2: a cache of vectors in Redis that all programs share.
//!
//! | key, in database 1 | holds |
//! |---|---|
//! | `embed:{hash}` | a vector: 384 little-endian 32-bit floats. Expires within an hour |
//! | `stats:hits`, `stats:misses` | counts of vectors found there, and not found |
//! | `cb:state_change:last` | the last change of a circuit breaker: `state`, `at` and `model`, as JSON |
//!
//! The hash is the SHA-256 of the model, a NUL and the text as it is sent, in hexadecimal digits.
//!
//! An outside contract asks for `stats:*` and `cb:state_change:last`. Only look-ups are on the path of a request. A
//! background task writes, best effort: a Redis outage degrades to cache misses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_redis::{Connection, Pool, PoolError};
use jangbogo_embedding::DIMENSIONS;
use jangbogo_embedding::text::TextKey;
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_platform::namespace::Namespace;
use jangbogo_resilience::breaker::{Breaker, CallError};
use jangbogo_telemetry::causes;
use redis::{FromRedisValue, Pipeline, RedisError};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::Vector;

/// Time limit of a look-up, which delays a request.
const LOOK_LIMIT: Duration = Duration::from_millis(20);
/// Time limit of connecting and writing, which delay no request.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// Maximum time to live of a vector.
const MAX_TIME_TO_LIVE: Duration = Duration::from_hours(1);
/// Interval between writes of counts.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum pending writes, about 2 kB each; more are dropped.
const MAX_WRITES: usize = 1000;
/// Maximum writes in one round trip.
const MAX_WRITES_AT_ONCE: usize = 100;

/// Clones share the connections and the circuit breaker.
#[derive(Clone, Debug)]
pub(super) struct SharedCache {
    redis: Arc<Redis>,
    writes: mpsc::Sender<Write>,
}

#[derive(Debug)]
struct Redis {
    pool: Pool,
    namespace: Namespace,
    breaker: Arc<Breaker>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
enum Write {
    Vector(TextKey, Vector),
    StateChange(String),
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("redis connection failed")]
    Connection(#[from] PoolError),
    #[error("redis command failed")]
    Redis(#[from] RedisError),
    #[error("redis timed out after {0:?}")]
    TooSlow(Duration),
}

impl SharedCache {
    /// Connects in the background. The writing task ends with the last clone.
    pub(super) fn start(connections: &Connections) -> Result<Self, RedisError> {
        let redis = Arc::new(Redis {
            pool: connections.redis_pool(RedisDatabase::Vectors)?,
            namespace: connections.namespace.clone(),
            breaker: Arc::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        });
        let (writes, to_write) = mpsc::channel(MAX_WRITES);
        tokio::spawn(Arc::clone(&redis).write_all(to_write));
        Ok(Self { redis, writes })
    }

    /// The vector of a text; none if it is not cached, or Redis is unavailable.
    pub(super) async fn get(&self, key: &TextKey) -> Option<Vector> {
        let redis = &self.redis;
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(redis.vector_key(key));
        // Boxed: every future that embeds a text would hold a connection attempt, 8 kB, twice.
        let look_up = Box::pin(redis.run::<(Option<Vec<u8>>,)>(&pipeline, LOOK_LIMIT));
        let probe = || Arc::clone(redis).probe();
        let log_recovery = || info!("redis recovered: embeddings are looked up there");
        match redis.breaker.call(look_up, probe, log_recovery).await {
            Ok((value,)) => {
                let vector = value.and_then(|value| parse(&value));
                let counter = if vector.is_some() { &redis.hits } else { &redis.misses };
                counter.fetch_add(1, Ordering::Relaxed);
                vector
            }
            Err(CallError::Failed { error, opened }) => {
                log_failure(&error, opened);
                None
            }
            Err(CallError::Rejected) => None,
        }
    }

    pub(super) fn put(&self, key: TextKey, vector: &Vector) {
        self.write(Write::Vector(key, Arc::clone(vector)));
    }

    pub(super) fn record_state_change(&self, change: String) {
        self.write(Write::StateChange(change));
    }

    fn write(&self, write: Write) {
        if self.writes.try_send(write).is_err() {
            debug!("too many writes to redis are pending: one is dropped");
        }
    }
}

impl Redis {
    fn vector_key(&self, key: &TextKey) -> String {
        self.namespace.redis_key(&format!("embed:{}", hex::encode(key)))
    }

    async fn run<T: FromRedisValue>(&self, pipeline: &Pipeline, limit: Duration) -> Result<T, Failure> {
        let answer = async {
            let mut connection: Connection = self.pool.get().await?;
            Ok(pipeline.query_async(&mut connection).await?)
        };
        timeout(limit, answer).await.unwrap_or(Err(Failure::TooSlow(limit)))
    }

    /// Probes Redis: connecting may take long, an answer may not.
    async fn probe(self: Arc<Self>) -> Result<(), Failure> {
        self.ping(WRITE_LIMIT).await?;
        self.ping(LOOK_LIMIT).await
    }

    async fn ping(&self, limit: Duration) -> Result<(), Failure> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").ignore();
        self.run(&pipeline, limit).await
    }

    async fn write_all(self: Arc<Self>, mut to_write: mpsc::Receiver<Write>) {
        // Connects ahead of the first look-up, which also finds out if Redis is unavailable.
        let _ = self.ping(WRITE_LIMIT).await;
        let mut count_tick = interval(COUNT_INTERVAL);
        count_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writes = Vec::new();
        loop {
            tokio::select! {
                received = to_write.recv_many(&mut writes, MAX_WRITES_AT_ONCE) => {
                    if received == 0 {
                        return self.write_counts().await;
                    }
                    self.write(writes.drain(..)).await;
                }
                _ = count_tick.tick() => self.write_counts().await,
            }
        }
    }

    async fn write(&self, writes: impl Iterator<Item = Write>) {
        let mut pipeline = redis::pipe();
        for write in writes {
            match write {
                Write::Vector(key, vector) => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
                    let milliseconds = u64::try_from(time_to_live(&key).as_millis()).unwrap_or(u64::MAX);
                    pipeline.cmd("SET").arg(self.vector_key(&key)).arg(bytes).arg("PX").arg(milliseconds).ignore();
                }
                Write::StateChange(change) => {
                    pipeline.cmd("SET").arg(self.namespace.redis_key("cb:state_change:last")).arg(change).ignore();
                }
            }
        }
        self.send(&pipeline).await;
    }

    /// Adds the counts since the last write. Counts are lost if Redis is unavailable.
    async fn write_counts(&self) {
        let mut pipeline = redis::pipe();
        for (name, counter) in [("stats:hits", &self.hits), ("stats:misses", &self.misses)] {
            let count = counter.swap(0, Ordering::Relaxed);
            if count > 0 {
                pipeline.cmd("INCRBY").arg(self.namespace.redis_key(name)).arg(count).ignore();
            }
        }
        if !pipeline.is_empty() {
            self.send(&pipeline).await;
        }
    }

    async fn send(&self, pipeline: &Pipeline) {
        let Some(permit) = self.breaker.admit_if_closed() else { return };
        match self.run::<()>(pipeline, WRITE_LIMIT).await {
            Ok(()) => _ = permit.succeeded(),
            Err(failure) => log_failure(&failure, permit.failed()),
        }
    }
}

/// An outage is logged once: by the failure that opened the breaker.
fn log_failure(failure: &Failure, opened: bool) {
    if opened {
        warn!(error = %causes(failure), "redis unavailable: embeddings are not looked up there");
    }
}

/// Up to a tenth less than an hour, by the key: jitter, so that vectors written together do not expire together.
fn time_to_live(key: &TextKey) -> Duration {
    MAX_TIME_TO_LIVE * (2550 - u32::from(key[0])) / 2550
}

fn parse(value: &[u8]) -> Option<Vector> {
    let (components, rest) = value.as_chunks::<4>();
    let is_vector = components.len() == DIMENSIONS && rest.is_empty();
    is_vector.then(|| components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_kept_for_up_to_an_hour() {
        let ttl = |byte: u8| time_to_live(&[byte; 32]);
        assert_eq!(ttl(0), Duration::from_hours(1));
        assert_eq!(ttl(255), Duration::from_mins(54));
        assert!(ttl(17) > ttl(18));
    }

    #[test]
    fn a_value_of_another_length_is_no_vector() {
        assert_eq!(parse(&[0; 4 * DIMENSIONS]).map(|vector| vector.len()), Some(DIMENSIONS));
        for length in [0, 4 * DIMENSIONS - 1, 4 * DIMENSIONS + 1, 4 * DIMENSIONS + 4] {
            assert_eq!(parse(&vec![0; length]), None, "{length}");
        }
    }
}
