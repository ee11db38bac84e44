//! Vectors that the programs of a shop share, in Redis.
//!
//! | key, in database 1 | holds |
//! |---|---|
//! | `embed:{hash}` | a vector: 384 little-endian 32-bit floats. The hash is the SHA-256 of the model, a NUL and the text as it is sent, in hexadecimal digits. An hour at most |
//! | `stats:hits`, `stats:misses` | how often a vector was found there, and not |
//! | `cb:state_change:last` | the last change of a circuit breaker: `state`, `at` and `model`, as JSON |
//!
//! Only looking for a vector is on the way of an answer. Whatever is written, a task writes when it comes to it, and with
//! Redis away nobody misses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool_redis::{Connection, Pool, PoolError};
use jangbogo_embedding::DIMENSIONS;
use jangbogo_embedding::text::{TextKey, hexadecimal};
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_platform::namespace::Namespace;
use jangbogo_resilience::breaker::{Advice, Breaker, Condition};
use jangbogo_telemetry::causes;
use redis::{FromRedisValue, Pipeline, RedisError};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::Vector;

/// The server or the model may take no longer than that.
const LOOK_LIMIT: Duration = Duration::from_millis(20);
/// How long connecting and writing may take, for which nobody waits.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// How long a vector is kept.
const KEEP: Duration = Duration::from_hours(1);
/// How often counts are written, at most.
const COUNTING: Duration = Duration::from_secs(1);
/// What may wait to be written, about 2 kB each; more is forgotten.
const MAX_WRITES: usize = 1000;
/// What is written in one round trip.
const MAX_WRITES_AT_ONCE: usize = 100;

/// Redis, fast or not there. Clones share what they know of it.
#[derive(Clone, Debug)]
pub(super) struct SharedCache {
    redis: Arc<Redis>,
    writes: mpsc::Sender<Write>,
}

#[derive(Debug)]
struct Redis {
    pool: Pool,
    namespace: Namespace,
    breaker: Breaker,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
enum Write {
    Vector(TextKey, Vector),
    StateChange(String),
}

/// Why Redis did not do it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("redis gives no connection")]
    Connection(#[from] PoolError),
    #[error("redis refuses")]
    Redis(#[from] RedisError),
    #[error("redis does not answer within {0:?}")]
    TooSlow(Duration),
}

impl SharedCache {
    /// Connects by itself. The task that writes ends with the last clone.
    pub(super) fn start(connections: &Connections) -> Result<Self, RedisError> {
        let redis = Arc::new(Redis {
            pool: connections.redis_pool(RedisDatabase::Vectors)?,
            namespace: connections.namespace.clone(),
            breaker: Breaker::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        });
        let (writes, to_write) = mpsc::channel(MAX_WRITES);
        tokio::spawn(Arc::clone(&redis).write_all(to_write));
        Ok(Self { redis, writes })
    }

    /// The vector of a text; none when it is not there, and while Redis is away.
    pub(super) async fn get(&self, key: &TextKey) -> Option<Vector> {
        match self.redis.breaker.advice(Instant::now()) {
            Advice::Ask => {}
            Advice::Avoid { .. } => return None,
            Advice::Probe => {
                tokio::spawn(Arc::clone(&self.redis).probe());
                return None;
            }
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.redis.vector_key(key));
        match self.redis.ask::<(Option<Vec<u8>>,)>(&pipeline, LOOK_LIMIT).await {
            Ok((value,)) => {
                let vector = value.and_then(|value| read(&value));
                let counter = if vector.is_some() { &self.redis.hits } else { &self.redis.misses };
                counter.fetch_add(1, Ordering::Relaxed);
                vector
            }
            Err(failure) => {
                self.redis.failed(&failure);
                None
            }
        }
    }

    /// Has the vector of a text kept.
    pub(super) fn put(&self, key: TextKey, vector: &Vector) {
        self.write(Write::Vector(key, Arc::clone(vector)));
    }

    /// Has the last change of the circuit breaker kept.
    pub(super) fn tell_state_change(&self, change: String) {
        self.write(Write::StateChange(change));
    }

    fn write(&self, write: Write) {
        if self.writes.try_send(write).is_err() {
            debug!("more is to be kept in redis than it takes: a vector is not");
        }
    }
}

impl Redis {
    fn vector_key(&self, key: &TextKey) -> String {
        self.namespace.redis_key(&format!("embed:{}", hexadecimal(key)))
    }

    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline, limit: Duration) -> Result<T, Failure> {
        let answer = async {
            let mut connection: Connection = self.pool.get().await?;
            Ok(pipeline.query_async(&mut connection).await?)
        };
        timeout(limit, answer).await.unwrap_or(Err(Failure::TooSlow(limit)))
    }

    fn failed(&self, failure: &Failure) {
        if self.breaker.failed(Advice::Ask, Instant::now()) {
            warn!(error = %causes(failure), "redis does not answer: vectors are not looked for there");
        }
    }

    /// Looks whether Redis is back. Connecting may take long, an answer may not.
    async fn probe(self: Arc<Self>) {
        let is_back = self.ping(WRITE_LIMIT).await.is_ok() && self.ping(LOOK_LIMIT).await.is_ok();
        if !is_back {
            self.breaker.failed(Advice::Probe, Instant::now());
        } else if self.breaker.succeeded(Advice::Probe, Instant::now()) {
            info!("redis answers again: vectors are looked for there");
        }
    }

    async fn ping(&self, limit: Duration) -> Result<(), Failure> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").ignore();
        self.ask(&pipeline, limit).await
    }

    async fn write_all(self: Arc<Self>, mut to_write: mpsc::Receiver<Write>) {
        // Whoever looks for the first vector finds a connection. Whether Redis is there is found out then.
        let _ = self.ping(WRITE_LIMIT).await;
        let mut counting = interval(COUNTING);
        counting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writes = Vec::new();
        loop {
            tokio::select! {
                received = to_write.recv_many(&mut writes, MAX_WRITES_AT_ONCE) => {
                    if received == 0 {
                        return self.write_counts().await;
                    }
                    self.write(writes.drain(..)).await;
                }
                _ = counting.tick() => self.write_counts().await,
            }
        }
    }

    async fn write(&self, writes: impl Iterator<Item = Write>) {
        let mut pipeline = redis::pipe();
        for write in writes {
            match write {
                Write::Vector(key, vector) => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
                    let keep = u64::try_from(keep(&key).as_millis()).unwrap_or(u64::MAX);
                    pipeline.cmd("SET").arg(self.vector_key(&key)).arg(bytes).arg("PX").arg(keep).ignore();
                }
                Write::StateChange(change) => {
                    pipeline.cmd("SET").arg(self.namespace.redis_key("cb:state_change:last")).arg(change).ignore();
                }
            }
        }
        self.send(&pipeline).await;
    }

    /// Adds what was counted since the last time. What Redis does not take is lost.
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
        if self.breaker.condition(Instant::now()) != Condition::Closed {
            return;
        }
        if let Err(failure) = self.ask::<()>(pipeline, WRITE_LIMIT).await {
            self.failed(&failure);
        }
    }
}

/// Up to a tenth less than an hour, as the key has it: what was kept together does not go together.
fn keep(key: &TextKey) -> Duration {
    KEEP * (2550 - u32::from(key[0])) / 2550
}

fn read(value: &[u8]) -> Option<Vector> {
    let (components, rest) = value.as_chunks::<4>();
    let is_vector = components.len() == DIMENSIONS && rest.is_empty();
    is_vector.then(|| components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_kept_for_up_to_an_hour() {
        let of = |byte: u8| keep(&[byte; 32]);
        assert_eq!(of(0), Duration::from_hours(1));
        assert_eq!(of(255), Duration::from_mins(54));
        assert!(of(17) > of(18));
    }

    #[test]
    fn what_is_no_vector_is_none() {
        assert_eq!(read(&[0; 4 * DIMENSIONS]).map(|vector| vector.len()), Some(DIMENSIONS));
        for length in [0, 4 * DIMENSIONS - 1, 4 * DIMENSIONS + 1, 4 * DIMENSIONS + 4] {
            assert_eq!(read(&vec![0; length]), None, "{length}");
        }
    }
}
