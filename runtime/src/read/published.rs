//! Published values in Redis, and the texts that are cached there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_redis::{Connection, Pool};
use redis::{FromRedisValue, Pipeline, RedisError, Value as Answer, from_redis_value};
use serde_json::{Value, json};
use tracing::{info, warn};
use uuid::Uuid;

use super::ViewKey;
use super::breaker::{Advice, Breaker};
use crate::fold::Target;
use crate::namespace::Namespace;
use crate::publisher::{FIELD_PROMOTION, FIELD_VALUE, PublishError};
use crate::telemetry::causes;

/// Postgres answers what Redis does not within this time.
const TIME_LIMIT: Duration = Duration::from_millis(250);

/// What became of looking for a published value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// It is there, and of the promotion asked for; none for a key without rows.
    Value(Option<Value>),
    /// The view is read from Postgres in any case.
    NotPublished,
    /// The generation was named: its rows are read.
    RowsAsked,
    /// There is nothing, or nothing readable.
    Missing,
    /// It is of another promotion.
    OtherPromotion,
    /// Redis does not answer.
    Away,
}

impl Found {
    /// Where the value is read, as the metric has it; none for a view that is not published to Redis.
    pub(super) fn source(&self) -> Option<&'static str> {
        match self {
            Self::Value(_) => Some("redis"),
            Self::NotPublished => None,
            Self::RowsAsked => Some("postgres_named_generation"),
            Self::Missing => Some("postgres_missing"),
            Self::OtherPromotion => Some("postgres_other_promotion"),
            Self::Away => Some("postgres_redis_away"),
        }
    }
}

/// Redis as a reader sees it: fast, or not there. Clones share its state.
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

    /// Looks for values, all in one round trip.
    pub(super) async fn read(&self, promotion: Uuid, wanted: &[ViewKey<'_>]) -> Vec<Found> {
        let mut found = vec![Found::NotPublished; wanted.len()];
        // A ranking and its stamp must be of one moment.
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let mut asked = Vec::new();
        for (position, ViewKey { view, key }) in wanted.iter().enumerate() {
            match view.target {
                Target::RedisHash => {
                    let hash = self.namespace.redis_key(&format!("{}:{key}", view.name));
                    pipeline.cmd("HMGET").arg(hash).arg(FIELD_PROMOTION).arg(FIELD_VALUE);
                }
                Target::RedisRanking => {
                    let set = self.namespace.redis_key(view.name);
                    pipeline.cmd("HGET").arg(format!("{set}:stamp")).arg(FIELD_PROMOTION);
                    pipeline.cmd("ZRANGE").arg(set).arg(0).arg(-1).arg("WITHSCORES");
                }
                Target::Postgres | Target::RedisEviction | Target::Elasticsearch { .. } => continue,
            }
            asked.push(position);
        }
        if asked.is_empty() {
            return found;
        }
        let Some(answers) = self.ask::<Vec<Answer>>(&pipeline).await else {
            for position in asked {
                found[position] = Found::Away;
            }
            return found;
        };
        let promotion = promotion.to_string();
        let mut answers = answers.into_iter();
        for position in asked {
            found[position] = match wanted[position].view.target {
                Target::RedisRanking => ranking(&promotion, answers.next(), answers.next()),
                _ => hash(&promotion, answers.next()),
            };
        }
        found
    }

    /// A cached text.
    pub(super) async fn get(&self, key: &str) -> Option<String> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.namespace.redis_key(key));
        let (text,): (Option<String>,) = self.ask(&pipeline).await?;
        text
    }

    /// Caches a text.
    pub(super) async fn put(&self, key: &str, text: &str, keep: Duration) {
        let milliseconds = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(self.namespace.redis_key(key)).arg(text).arg("PX").arg(milliseconds).ignore();
        self.ask::<()>(&pipeline).await;
    }

    pub(super) async fn ping(&self) -> Result<(), PublishError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("PING").ignore();
        self.attempt(&pipeline).await
    }

    /// The answers; none while Redis is away.
    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        match self.breaker.advice(Instant::now()) {
            Advice::Ask => {}
            Advice::Avoid => return None,
            Advice::Probe => {
                let probing = self.clone();
                tokio::spawn(async move {
                    if probing.ping().await.is_err() {
                        probing.breaker.failed(Instant::now());
                    }
                });
                return None;
            }
        }
        match self.attempt(pipeline).await {
            Ok(answers) => Some(answers),
            Err(error) => {
                if self.breaker.failed(Instant::now()) {
                    warn!(error = %causes(&error), "redis does not answer: reading from postgres");
                }
                None
            }
        }
    }

    async fn attempt<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, PublishError> {
        let attempt = async {
            let mut connection: Connection = self.pool.get().await?;
            Ok(pipeline.query_async(&mut connection).await?)
        };
        let late = || {
            let detail = format!("no answer within {TIME_LIMIT:?}");
            PublishError::Redis(RedisError::from((redis::ErrorKind::Io, "redis is too slow", detail)))
        };
        let answer = tokio::time::timeout(TIME_LIMIT, attempt).await.unwrap_or_else(|_| Err(late()));
        if answer.is_ok() && self.breaker.succeeded() {
            info!("redis answers again");
        }
        answer
    }
}

/// A published hash: promotion and value.
fn hash(promotion: &str, answer: Option<Answer>) -> Found {
    let fields = answer.and_then(|answer| from_redis_value::<(Option<String>, Option<String>)>(answer).ok());
    let Some((Some(found), Some(value))) = fields else { return Found::Missing };
    if found != promotion {
        return Found::OtherPromotion;
    }
    match serde_json::from_str(&value) {
        Ok(Value::Null) => Found::Value(None),
        Ok(value) => Found::Value(Some(value)),
        Err(_) => Found::Missing,
    }
}

/// A published ranking: its stamp's promotion, then members with scores.
fn ranking(promotion: &str, stamp: Option<Answer>, members: Option<Answer>) -> Found {
    let stamp = stamp.and_then(|answer| from_redis_value::<Option<String>>(answer).ok()).flatten();
    let Some(found) = stamp else { return Found::Missing };
    if found != promotion {
        return Found::OtherPromotion;
    }
    let members = members.and_then(|answer| from_redis_value::<Vec<(String, f64)>>(answer).ok());
    let Some(mut members) = members else { return Found::Missing };
    if members.is_empty() {
        return Found::Value(None);
    }
    // As the view has it: the highest score first, ties by id.
    members.sort_by(|(left_id, left), (right_id, right)| right.total_cmp(left).then_with(|| left_id.cmp(right_id)));
    let items = members.into_iter().map(|(product_id, score)| json!({ "product_id": product_id, "score": score }));
    Found::Value(Some(items.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Answer {
        Answer::BulkString(text.as_bytes().to_vec())
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a pipeline gives for a key")]
    fn fields(promotion: &str, value: &str) -> Option<Answer> {
        Some(Answer::Array(vec![text(promotion), text(value)]))
    }

    #[test]
    fn a_hash_counts_only_with_the_promotion_asked_for() {
        assert_eq!(hash("p1", fields("p1", "[1]")), Found::Value(Some(json!([1]))));
        assert_eq!(hash("p1", fields("p1", "null")), Found::Value(None), "a key without rows");
        assert_eq!(hash("p2", fields("p1", "[1]")), Found::OtherPromotion);
        assert_eq!(hash("p1", fields("p1", "[1")), Found::Missing);
        assert_eq!(hash("p1", Some(Answer::Array(vec![Answer::Nil, Answer::Nil]))), Found::Missing);
        assert_eq!(hash("p1", None), Found::Missing);
    }

    #[test]
    fn a_ranking_is_in_the_order_of_its_view() {
        let members = Answer::Array(vec![text("b"), text("1.5"), text("c"), text("2"), text("a"), text("1.5")]);
        let expected = json!([
            { "product_id": "c", "score": 2.0 },
            { "product_id": "a", "score": 1.5 },
            { "product_id": "b", "score": 1.5 },
        ]);
        assert_eq!(ranking("p1", Some(text("p1")), Some(members.clone())), Found::Value(Some(expected)));
        assert_eq!(ranking("p2", Some(text("p1")), Some(members.clone())), Found::OtherPromotion);
        assert_eq!(ranking("p1", Some(Answer::Nil), Some(members)), Found::Missing);
        assert_eq!(ranking("p1", Some(text("p1")), Some(Answer::Array(vec![]))), Found::Value(None));
    }
}
