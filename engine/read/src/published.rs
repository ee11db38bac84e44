//! Published values in Redis, and the texts that are cached there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_redis::{Connection, Pool};
use jangbogo_fold::Target;
use jangbogo_platform::namespace::Namespace;
use jangbogo_publish::{FIELD_NEXT_PROMOTION, FIELD_NEXT_VALUE, FIELD_PROMOTION, FIELD_VALUE, PublishError};
use jangbogo_resilience::breaker::{Advice, Breaker, CallError};
use jangbogo_telemetry::causes;
use redis::{FromRedisValue, Pipeline, RedisError, Value as Answer, from_redis_value};
use serde_json::{Value, json};
use tracing::{info, warn};
use uuid::Uuid;

use super::ViewKey;

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
    Unavailable,
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
            Self::Unavailable => Some("postgres_redis_away"),
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
                    let next = [FIELD_NEXT_PROMOTION, FIELD_NEXT_VALUE];
                    pipeline.cmd("HMGET").arg(hash).arg(FIELD_PROMOTION).arg(FIELD_VALUE).arg(&next);
                }
                Target::RedisRanking => {
                    let set = self.namespace.redis_key(view.name);
                    let stamp = [FIELD_PROMOTION, FIELD_NEXT_PROMOTION, FIELD_NEXT_VALUE];
                    pipeline.cmd("HMGET").arg(format!("{set}:stamp")).arg(&stamp);
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
                found[position] = Found::Unavailable;
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
        self.attempt::<()>(&ping()).await?;
        if self.breaker.succeeded(Advice::Probe, Instant::now()) {
            log_recovery();
        }
        Ok(())
    }

    /// The answers; none while Redis is away.
    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        let probe = || {
            let views = self.clone();
            async move { views.attempt::<()>(&ping()).await }
        };
        match self.breaker.call(self.attempt(pipeline), probe, log_recovery).await {
            Ok(answers) => Some(answers),
            Err(CallError::Failed { error, opened }) => {
                if opened {
                    warn!(error = %causes(&error), "redis unavailable; reading from postgres");
                }
                None
            }
            Err(CallError::Rejected) => None,
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
        tokio::time::timeout(TIME_LIMIT, attempt).await.unwrap_or_else(|_| Err(late()))
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

/// A published hash: promotion and value, and those that were published ahead.
fn hash(promotion: &str, answer: Option<Answer>) -> Found {
    type Fields = (Option<String>, Option<String>, Option<String>, Option<String>);
    let fields = answer.and_then(|answer| from_redis_value::<Fields>(answer).ok());
    let Some((found, value, next, next_value)) = fields else { return Found::Missing };
    match (found, value) {
        (Some(found), Some(value)) if found == promotion => parsed(&value),
        (found, _) => ahead(promotion, next, next_value).unwrap_or_else(|| other_or_missing(found.as_ref())),
    }
}

/// A published ranking: its stamp, then members with scores.
fn ranking(promotion: &str, stamp: Option<Answer>, members: Option<Answer>) -> Found {
    type Fields = (Option<String>, Option<String>, Option<String>);
    let stamp = stamp.and_then(|answer| from_redis_value::<Fields>(answer).ok());
    let Some((found, next, next_value)) = stamp else { return Found::Missing };
    if found.as_deref() != Some(promotion) {
        return ahead(promotion, next, next_value).unwrap_or_else(|| other_or_missing(found.as_ref()));
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

/// What was published before its promotion went live, if it is the one asked for.
fn ahead(promotion: &str, next: Option<String>, value: Option<String>) -> Option<Found> {
    next.filter(|next| next == promotion)?;
    Some(parsed(&value?))
}

fn parsed(value: &str) -> Found {
    match serde_json::from_str(value) {
        Ok(Value::Null) => Found::Value(None),
        Ok(value) => Found::Value(Some(value)),
        Err(_) => Found::Missing,
    }
}

fn other_or_missing(promotion: Option<&String>) -> Found {
    if promotion.is_some() { Found::OtherPromotion } else { Found::Missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Answer {
        Answer::BulkString(text.as_bytes().to_vec())
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a pipeline gives for a key")]
    fn fields(fields: &[&str]) -> Option<Answer> {
        let answer = |field: &&str| if field.is_empty() { Answer::Nil } else { text(field) };
        Some(Answer::Array(fields.iter().map(answer).collect()))
    }

    #[test]
    fn a_hash_counts_only_with_the_promotion_asked_for() {
        let published = |value| fields(&["p1", value, "", ""]);
        assert_eq!(hash("p1", published("[1]")), Found::Value(Some(json!([1]))));
        assert_eq!(hash("p1", published("null")), Found::Value(None), "a key without rows");
        assert_eq!(hash("p2", published("[1]")), Found::OtherPromotion);
        assert_eq!(hash("p1", published("[1")), Found::Missing);
        assert_eq!(hash("p1", fields(&["", "", "", ""])), Found::Missing);
        assert_eq!(hash("p1", None), Found::Missing);
    }

    #[test]
    fn what_was_published_ahead_counts_once_its_promotion_is_asked_for() {
        let both = || fields(&["p1", "[1]", "p2", "[2]"]);
        assert_eq!(hash("p1", both()), Found::Value(Some(json!([1]))));
        assert_eq!(hash("p2", both()), Found::Value(Some(json!([2]))));
        assert_eq!(hash("p3", both()), Found::OtherPromotion);
        assert_eq!(hash("p2", fields(&["", "", "p2", "null"])), Found::Value(None), "a key of the next one alone");
        assert_eq!(hash("p1", fields(&["", "", "p2", "[2]"])), Found::Missing);

        let next = r#"[{"product_id":"a","score":1.5}]"#;
        let stamp = || fields(&["p1", "p2", next]);
        let none = || Some(Answer::Array(vec![]));
        assert_eq!(ranking("p1", stamp(), none()), Found::Value(None));
        assert_eq!(ranking("p2", stamp(), none()), Found::Value(Some(json!([{ "product_id": "a", "score": 1.5 }]))));
        assert_eq!(ranking("p3", stamp(), none()), Found::OtherPromotion);
    }

    #[test]
    fn a_ranking_is_in_the_order_of_its_view() {
        let members = Answer::Array(vec![text("b"), text("1.5"), text("c"), text("2"), text("a"), text("1.5")]);
        let expected = json!([
            { "product_id": "c", "score": 2.0 },
            { "product_id": "a", "score": 1.5 },
            { "product_id": "b", "score": 1.5 },
        ]);
        let stamp = || fields(&["p1", "", ""]);
        assert_eq!(ranking("p1", stamp(), Some(members.clone())), Found::Value(Some(expected)));
        assert_eq!(ranking("p2", stamp(), Some(members.clone())), Found::OtherPromotion);
        assert_eq!(ranking("p1", fields(&["", "", ""]), Some(members)), Found::Missing);
        assert_eq!(ranking("p1", stamp(), Some(Answer::Array(vec![]))), Found::Value(None));
    }
}
