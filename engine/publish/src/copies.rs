//! Reading back what was published, as the stores hold it.

use std::collections::BTreeMap;
use std::fmt;

use ::elasticsearch::http::StatusCode;
use ::elasticsearch::{ClearScrollParts, Elasticsearch, MgetParts, ScrollParts, SearchParts};
use deadpool_redis::Pool;
use jangbogo_fold::{Processor, Target, View};
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_store::Live;
use redis::{RedisResult, Value as Answer, from_redis_value};
use serde::Serialize;
use serde_json::{Value, json};

use super::{FIELD_PROMOTION, FIELD_VALUE, PublishError, elasticsearch, index_name};

/// Keys that a store is asked for at a time when all of them are listed.
const LISTED: usize = 1_000;

/// What a store holds for a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing.
    Missing,
    /// A value that readers disregard.
    OtherPromotion,
    /// Something that nobody published like this.
    Unreadable,
    /// A value; none where it says that the key has no rows.
    Value(Option<Value>),
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("nothing"),
            Self::OtherPromotion => formatter.write_str("a value of another promotion"),
            Self::Unreadable => formatter.write_str("something that is no value"),
            Self::Value(None) => formatter.write_str("no rows"),
            Self::Value(Some(value)) => value.fmt(formatter),
        }
    }
}

/// What a store holds for a key, and which of its writes that was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Copied {
    pub found: Found,
    /// The publisher's epoch and number in Redis, the document's version in Elasticsearch.
    write: (i64, i64),
}

/// The stores that hold copies of a live generation's views.
pub(super) struct Copies {
    connections: Connections,
    processor: &'static Processor,
    live: Live,
    redis: Pool,
    search: Elasticsearch,
}

/// Goes through all keys that a store holds for a view.
pub(super) enum Listing {
    /// Redis: where its scan stands.
    Scan(u64),
    /// Elasticsearch: nothing asked yet.
    Begin,
    /// Elasticsearch: the name of its search.
    Scroll(String),
    /// All were given.
    End,
}

impl Listing {
    /// Before the first of a view's keys.
    pub(super) fn of(view: &View) -> Self {
        match view.target {
            Target::RedisHash => Self::Scan(0),
            Target::Elasticsearch { .. } => Self::Begin,
            // A ranking is one set.
            Target::RedisRanking | Target::RedisEviction | Target::Postgres => Self::End,
        }
    }
}

impl Copies {
    pub(super) fn new(
        connections: &Connections,
        processor: &'static Processor,
        live: &Live,
    ) -> Result<Self, PublishError> {
        let redis = connections.redis_pool(RedisDatabase::Views)?;
        let search = elasticsearch::client(connections)?;
        Ok(Self { connections: connections.clone(), processor, live: live.clone(), redis, search })
    }

    /// What is held for these keys, in their order.
    pub(super) async fn read(&self, view: &View, keys: &[String]) -> Result<Vec<Copied>, PublishError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        match view.target {
            Target::Elasticsearch { .. } => self.read_documents(view, keys).await,
            Target::RedisRanking => self.read_rankings(view, keys).await,
            _ => self.read_hashes(view, keys).await,
        }
    }

    async fn read_hashes(&self, view: &View, keys: &[String]) -> Result<Vec<Copied>, PublishError> {
        let mut pipeline = redis::pipe();
        // A key may hold something else than a hash, which is an error of that key alone.
        pipeline.ignore_errors();
        for key in keys {
            let hash = self.connections.namespace.redis_key(&format!("{}:{key}", view.name));
            pipeline.cmd("HMGET").arg(hash).arg(&[FIELD_PROMOTION, "epoch", "number", FIELD_VALUE]);
        }
        let mut connection = self.redis.get().await?;
        let answers: Vec<RedisResult<Answer>> = pipeline.query_async(&mut connection).await?;
        let promotion = self.live.promotion.to_string();
        Ok(answers.into_iter().map(|answer| hash(&promotion, answer)).collect())
    }

    /// A view that is a ranking has one sorted set, whatever its key.
    async fn read_rankings(&self, view: &View, keys: &[String]) -> Result<Vec<Copied>, PublishError> {
        let set = self.connections.namespace.redis_key(view.name);
        let mut pipeline = redis::pipe();
        pipeline.atomic().ignore_errors();
        pipeline.cmd("HMGET").arg(format!("{set}:stamp")).arg(&[FIELD_PROMOTION, "epoch", "number"]);
        pipeline.cmd("ZRANGE").arg(set).arg(0).arg(-1).arg("WITHSCORES");
        let mut connection = self.redis.get().await?;
        let (stamp, members): (RedisResult<Answer>, RedisResult<Answer>) =
            pipeline.query_async(&mut connection).await?;
        let copied = ranking(&self.live.promotion.to_string(), stamp, members);
        Ok(vec![copied; keys.len()])
    }

    async fn read_documents(&self, view: &View, keys: &[String]) -> Result<Vec<Copied>, PublishError> {
        let index = index_name(&self.connections, view.name, &self.live.generation);
        let response = self.search.mget(MgetParts::Index(&index)).body(json!({ "ids": keys })).send().await?;
        let mut answer: Value = response.error_for_status_code()?.json().await?;
        let Value::Array(documents) = answer["docs"].take() else {
            return Err(PublishError::Answer(answer.to_string()));
        };
        documents.into_iter().map(document).collect()
    }

    /// Some more of the keys that are held for a view, tombstones in Elasticsearch apart; a key may come twice.
    pub(super) async fn next(&self, view: &View, listing: &mut Listing) -> Result<Vec<String>, PublishError> {
        match listing {
            Listing::Scan(cursor) => {
                let (next, keys) = self.scan(view, *cursor).await?;
                *listing = if next == 0 { Listing::End } else { Listing::Scan(next) };
                Ok(keys)
            }
            Listing::Begin | Listing::Scroll(_) => self.scroll(view, listing).await,
            Listing::End => Ok(Vec::new()),
        }
    }

    async fn scan(&self, view: &View, cursor: u64) -> Result<(u64, Vec<String>), PublishError> {
        let prefix = self.connections.namespace.redis_key(&format!("{}:", view.name));
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(LISTED);
        let mut connection = self.redis.get().await?;
        let (next, found): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        let keys = found.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok((next, keys.filter(|key| !self.is_of_longer_name(view, key)).map(str::to_owned).collect()))
    }

    /// Whether what looks like a view's key belongs to another view, whose name goes on where this one's ends.
    fn is_of_longer_name(&self, view: &View, key: &str) -> bool {
        let mut further =
            self.processor.views().filter_map(|other| other.name.strip_prefix(view.name)?.strip_prefix(':'));
        further.any(|rest| key.strip_prefix(rest).is_some_and(|end| end.is_empty() || end.starts_with(':')))
    }

    async fn scroll(&self, view: &View, listing: &mut Listing) -> Result<Vec<String>, PublishError> {
        let response = if let Listing::Scroll(name) = listing {
            let body = json!({ "scroll": "1m", "scroll_id": name });
            self.search.scroll(ScrollParts::None).body(body).send().await?
        } else {
            let index = index_name(&self.connections, view.name, &self.live.generation);
            let body = json!({
                "size": LISTED,
                "sort": ["_doc"],
                "_source": false,
                "query": { "bool": { "must_not": { "term": { "tombstone": true } } } },
            });
            let search = self.search.search(SearchParts::Index(&[&index])).scroll("1m").body(body).send().await?;
            if search.status_code() == StatusCode::NOT_FOUND {
                *listing = Listing::End;
                return Ok(Vec::new());
            }
            search
        };
        let answer: Value = response.error_for_status_code()?.json().await?;
        let (Some(name), Some(hits)) = (answer["_scroll_id"].as_str(), answer["hits"]["hits"].as_array()) else {
            return Err(PublishError::Answer(answer.to_string()));
        };
        *listing = Listing::Scroll(name.to_owned());
        if hits.is_empty() {
            *listing = Listing::End;
            self.search.clear_scroll(ClearScrollParts::None).body(json!({ "scroll_id": name })).send().await?;
        }
        Ok(hits.iter().filter_map(|hit| hit["_id"].as_str()).map(str::to_owned).collect())
    }
}

fn hash(promotion: &str, answer: RedisResult<Answer>) -> Copied {
    type Fields = (Option<String>, Option<i64>, Option<i64>, Option<String>);
    let fields = answer.ok().and_then(|answer| from_redis_value::<Fields>(answer).ok());
    let (found, write) = match fields {
        Some((None, None, None, None)) => (Found::Missing, (0, 0)),
        Some((Some(of), Some(epoch), Some(number), _)) if of != promotion => (Found::OtherPromotion, (epoch, number)),
        Some((Some(_), Some(epoch), Some(number), Some(value))) => {
            (serde_json::from_str(&value).map_or(Found::Unreadable, value_or_tombstone), (epoch, number))
        }
        _ => (Found::Unreadable, (0, 0)),
    };
    Copied { found, write }
}

fn value_or_tombstone(value: Value) -> Found {
    Found::Value(Some(value).filter(|value| !value.is_null()))
}

fn ranking(promotion: &str, stamp: RedisResult<Answer>, members: RedisResult<Answer>) -> Copied {
    type Fields = (Option<String>, Option<i64>, Option<i64>);
    let stamp = stamp.ok().and_then(|answer| from_redis_value::<Fields>(answer).ok());
    let members = members.ok().and_then(|answer| from_redis_value::<BTreeMap<String, f64>>(answer).ok());
    let (found, write) = match (stamp, members) {
        (Some((None, None, None)), _) => (Found::Missing, (0, 0)),
        (Some((Some(of), Some(epoch), Some(number))), _) if of != promotion => (Found::OtherPromotion, (epoch, number)),
        (Some((Some(_), Some(epoch), Some(number))), Some(members)) => {
            let item = |(product_id, score)| json!({ "product_id": product_id, "score": score });
            (Found::Value((!members.is_empty()).then(|| members.into_iter().map(item).collect())), (epoch, number))
        }
        _ => (Found::Unreadable, (0, 0)),
    };
    Copied { found, write }
}

fn document(mut answer: Value) -> Result<Copied, PublishError> {
    if let Some(reason) = answer["error"]["type"].as_str() {
        if reason == "index_not_found_exception" {
            return Ok(Copied { found: Found::Missing, write: (0, 0) });
        }
        return Err(PublishError::Answer(answer.to_string()));
    }
    if answer["found"] != json!(true) {
        return Ok(Copied { found: Found::Missing, write: (0, 0) });
    }
    let write = (0, answer["_version"].as_i64().unwrap_or_default());
    let source = answer["_source"].take();
    let value = (source["tombstone"] != json!(true)).then_some(source);
    Ok(Copied { found: Found::Value(value), write })
}
