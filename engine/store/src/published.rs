//! Published views in Redis and Elasticsearch: key and index names, field names, encoding and parsing of values.
//!
//! A hash carries the promotion and the version of its write, and beside the live value the one that was published
//! ahead of a cut-over. A ranking is a sorted set with a hash of the same fields, except the value, as its stamp.

use std::fmt;

use jangbogo_fold::View;
use jangbogo_platform::config::Connections;
use jangbogo_platform::namespace::Namespace;
use redis::{Pipeline, Value as Reply, from_redis_value};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Generation;

/// Fields of a hash, in the order of [`Fields`]. The publisher's Lua scripts write them by these names.
const FIELDS: [&str; 6] = ["promotion", "epoch", "number", "value", "next_promotion", "next_value"];
type Fields = (Option<String>, Option<i64>, Option<i64>, Option<String>, Option<String>, Option<String>);

/// Result of reading a key that was published under a promotion.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedValue {
    /// The store has no such key.
    Missing,
    /// The value belongs to another promotion: readers ignore it.
    OtherPromotion,
    /// The store holds something that the publisher does not write.
    Unreadable,
    /// The value; none for a key without rows.
    Value(Option<Value>),
}

impl fmt::Display for PublishedValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("nothing"),
            Self::OtherPromotion => formatter.write_str("a value of another promotion"),
            Self::Unreadable => formatter.write_str("an unreadable value"),
            Self::Value(None) => formatter.write_str("no rows"),
            Self::Value(Some(value)) => value.fmt(formatter),
        }
    }
}

/// The index in Elasticsearch of a view in a generation.
#[must_use]
pub fn index_name(connections: &Connections, view: &str, generation: &Generation) -> String {
    connections.namespace.index(&format!("{view}-{}", generation.id.simple()))
}

/// The key of a view's hash.
#[must_use]
pub fn hash_key(namespace: &Namespace, view: &View, key: &str) -> String {
    namespace.redis_key(&format!("{}:{key}", view.name))
}

/// The key of a ranking's sorted set.
#[must_use]
pub fn ranking_key(namespace: &Namespace, view: &View) -> String {
    namespace.redis_key(view.name)
}

/// The key of a ranking's stamp.
#[must_use]
pub fn stamp_key(namespace: &Namespace, view: &View) -> String {
    namespace.redis_key(&format!("{}:stamp", view.name))
}

/// A value as the text that a hash holds: JSON, `null` for a key without rows.
#[must_use]
pub fn encode(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".to_owned(), ToString::to_string)
}

/// Scores and members of a ranking's value: an array of `{"product_id", "score"}`.
#[must_use]
pub fn ranking_members(value: Option<&Value>) -> Vec<(f64, String)> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items
        .filter_map(|item| Some((item.get("score")?.as_f64()?, item.get("product_id")?.as_str()?.to_owned())))
        .collect()
}

/// Adds the command that reads a hash; [`Published::from_hash`] takes its reply.
pub fn read_hash(pipeline: &mut Pipeline, key: String) {
    pipeline.cmd("HMGET").arg(key).arg(&FIELDS);
}

/// Adds the two commands that read a ranking; [`Published::from_ranking`] takes their replies.
pub fn read_ranking(pipeline: &mut Pipeline, namespace: &Namespace, view: &View) {
    read_hash(pipeline, stamp_key(namespace, view));
    pipeline.cmd("ZRANGE").arg(ranking_key(namespace, view)).arg(0).arg(-1).arg("WITHSCORES");
}

/// The parsed hash or ranking of a view's key in Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    promotion: Option<String>,
    epoch: Option<i64>,
    number: Option<i64>,
    /// `null` for a key without rows; none if it is absent or unreadable.
    value: Option<Value>,
    next_promotion: Option<String>,
    next_value: Option<String>,
    is_missing: bool,
}

impl Published {
    /// Parses the reply to [`read_hash`]. None if it is not a hash that the publisher writes.
    #[must_use]
    pub fn from_hash(reply: Option<Reply>) -> Option<Self> {
        let (promotion, epoch, number, value, next_promotion, next_value) = from_redis_value::<Fields>(reply?).ok()?;
        let is_missing = promotion.is_none() && epoch.is_none() && number.is_none() && value.is_none();
        let value = value.as_deref().and_then(parse);
        Some(Self { promotion, epoch, number, value, next_promotion, next_value, is_missing })
    }

    /// Parses the replies to [`read_ranking`]. The value is in the order of a ranking's view: the highest score first,
    /// ties by id.
    #[must_use]
    pub fn from_ranking(stamp: Option<Reply>, members: Option<Reply>) -> Option<Self> {
        let members = members.and_then(|reply| from_redis_value::<Vec<(String, f64)>>(reply).ok());
        let value = members.map(|mut members| {
            members.sort_by(|(left_id, left), (right_id, right)| {
                right.total_cmp(left).then_with(|| left_id.cmp(right_id))
            });
            let item = |(product_id, score)| json!({ "product_id": product_id, "score": score });
            if members.is_empty() { Value::Null } else { members.into_iter().map(item).collect() }
        });
        Some(Self { value, ..Self::from_hash(stamp)? })
    }

    /// The live value, if it belongs to the promotion.
    #[must_use]
    pub fn live(self, promotion: &str) -> PublishedValue {
        match (self.promotion, self.epoch.zip(self.number)) {
            _ if self.is_missing => PublishedValue::Missing,
            (Some(found), Some(_)) if found != promotion => PublishedValue::OtherPromotion,
            (Some(_), Some(_)) => decoded(self.value),
            _ => PublishedValue::Unreadable,
        }
    }

    /// The value of the promotion: the live one, or the one published ahead of its cut-over.
    #[must_use]
    pub fn live_or_ahead(self, promotion: &str) -> PublishedValue {
        match (self.promotion.as_deref(), self.next_promotion.as_deref()) {
            (Some(live), _) if live == promotion => decoded(self.value),
            (_, Some(next)) if next == promotion => decoded(self.next_value.as_deref().and_then(parse)),
            (Some(_), _) => PublishedValue::OtherPromotion,
            (None, _) => PublishedValue::Missing,
        }
    }

    /// Epoch and number of the write, 0 where there is none.
    #[must_use]
    pub fn version(&self) -> (i64, i64) {
        (self.epoch.unwrap_or_default(), self.number.unwrap_or_default())
    }
}

/// Parses the value of a hash; none if it is not JSON.
fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn decoded(value: Option<Value>) -> PublishedValue {
    match value {
        None => PublishedValue::Unreadable,
        Some(Value::Null) => PublishedValue::Value(None),
        Some(value) => PublishedValue::Value(Some(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::BulkString(text.as_bytes().to_vec())
    }

    #[expect(clippy::unnecessary_wraps, reason = "a pipeline's reply for a key")]
    fn fields(promotion: &str, value: &str, next_promotion: &str, next_value: &str) -> Option<Reply> {
        let version = if promotion.is_empty() { "" } else { "1" };
        let fields = [promotion, version, version, value, next_promotion, next_value];
        let reply = |field: &str| if field.is_empty() { Reply::Nil } else { text(field) };
        Some(Reply::Array(fields.map(reply).into()))
    }

    fn hash(promotion: &str, reply: Option<Reply>) -> PublishedValue {
        Published::from_hash(reply).map_or(PublishedValue::Unreadable, |published| published.live_or_ahead(promotion))
    }

    fn ranking(promotion: &str, stamp: Option<Reply>, members: Reply) -> PublishedValue {
        let published = Published::from_ranking(stamp, Some(members));
        published.map_or(PublishedValue::Unreadable, |published| published.live_or_ahead(promotion))
    }

    #[test]
    fn a_hash_counts_only_under_the_requested_promotion() {
        let published = |value| fields("p1", value, "", "");
        assert_eq!(hash("p1", published("[1]")), PublishedValue::Value(Some(json!([1]))));
        assert_eq!(hash("p1", published("null")), PublishedValue::Value(None), "a key without rows");
        assert_eq!(hash("p2", published("[1]")), PublishedValue::OtherPromotion);
        assert_eq!(hash("p1", published("[1")), PublishedValue::Unreadable);
        assert_eq!(hash("p1", fields("", "", "", "")), PublishedValue::Missing);
        let without_promotion = Published::from_hash(fields("", "[1]", "", "")).unwrap();
        assert_eq!(without_promotion.live("p1"), PublishedValue::Unreadable);
        assert_eq!(hash("p1", None), PublishedValue::Unreadable);
    }

    #[test]
    fn a_value_published_ahead_counts_once_its_promotion_is_requested() {
        let both = || fields("p1", "[1]", "p2", "[2]");
        assert_eq!(hash("p1", both()), PublishedValue::Value(Some(json!([1]))));
        assert_eq!(hash("p2", both()), PublishedValue::Value(Some(json!([2]))));
        assert_eq!(hash("p3", both()), PublishedValue::OtherPromotion);
        assert_eq!(
            hash("p2", fields("", "", "p2", "null")),
            PublishedValue::Value(None),
            "a key of the next one alone"
        );
        assert_eq!(hash("p1", fields("", "", "p2", "[2]")), PublishedValue::Missing);
        let live = Published::from_hash(both()).unwrap();
        assert_eq!(live.version(), (1, 1));
        assert_eq!(live.live("p2"), PublishedValue::OtherPromotion, "an audit compares the live value alone");

        let next = r#"[{"product_id":"a","score":1.5}]"#;
        let stamp = || fields("p1", "", "p2", next);
        let none = || Reply::Array(vec![]);
        let ahead = PublishedValue::Value(Some(json!([{ "product_id": "a", "score": 1.5 }])));
        assert_eq!(ranking("p1", stamp(), none()), PublishedValue::Value(None));
        assert_eq!(ranking("p2", stamp(), none()), ahead);
        assert_eq!(ranking("p3", stamp(), none()), PublishedValue::OtherPromotion);
    }

    #[test]
    fn a_ranking_is_in_the_order_of_its_view() {
        let members = Reply::Array(vec![text("b"), text("1.5"), text("c"), text("2"), text("a"), text("1.5")]);
        let expected = json!([
            { "product_id": "c", "score": 2.0 },
            { "product_id": "a", "score": 1.5 },
            { "product_id": "b", "score": 1.5 },
        ]);
        let stamp = || fields("p1", "", "", "");
        assert_eq!(ranking_members(Some(&expected))[0], (2.0, "c".to_owned()));
        assert_eq!(ranking("p1", stamp(), members.clone()), PublishedValue::Value(Some(expected)));
        assert_eq!(ranking("p2", stamp(), members.clone()), PublishedValue::OtherPromotion);
        assert_eq!(ranking("p1", fields("", "", "", ""), members), PublishedValue::Missing);
        assert_eq!(ranking("p1", stamp(), Reply::Array(vec![])), PublishedValue::Value(None));
    }
}
