//! Reads published values back from the stores, for the audit.

use ::elasticsearch::http::StatusCode;
use ::elasticsearch::{ClearScrollParts, Elasticsearch, MgetParts, ScrollParts, SearchParts};
use deadpool_redis::Pool;
use jangbogo_fold::{Processor, Target, View};
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_store::Live;
use jangbogo_store::published::{self, Published, PublishedValue, index_name};
use redis::{RedisResult, Value as Reply};
use serde_json::{Value, json};

use super::{PublishError, elasticsearch};

/// Keys of one page when all keys of a view are listed.
const LIST_PAGE: usize = 1_000;

/// A store's copy of a key's value, with the version of its write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Copied {
    pub value: PublishedValue,
    /// The publisher's epoch and number in Redis; 0 and the document's version in Elasticsearch.
    version: (i64, i64),
}

/// The stores that hold copies of a live generation's views.
pub(super) struct Copies {
    connections: Connections,
    processor: &'static Processor,
    live: Live,
    redis: Pool,
    search: Elasticsearch,
}

/// Cursor over all keys that a store holds for a view.
pub(super) enum Listing {
    /// Redis: the cursor of its scan.
    Scan(u64),
    /// Elasticsearch: before the first page.
    Begin,
    /// Elasticsearch: the id of its scroll.
    Scroll(String),
    /// After the last page.
    End,
}

impl Listing {
    pub(super) fn new(view: &View) -> Self {
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

    /// Copies of these keys' values, in their order.
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
            published::read_hash(&mut pipeline, published::hash_key(&self.connections.namespace, view, key));
        }
        let mut connection = self.redis.get().await?;
        let replies: Vec<RedisResult<Reply>> = pipeline.query_async(&mut connection).await?;
        Ok(replies.into_iter().map(|reply| self.copied(Published::from_hash(reply.ok()))).collect())
    }

    /// A view that is a ranking has one sorted set for all keys.
    async fn read_rankings(&self, view: &View, keys: &[String]) -> Result<Vec<Copied>, PublishError> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().ignore_errors();
        published::read_ranking(&mut pipeline, &self.connections.namespace, view);
        let mut connection = self.redis.get().await?;
        let (stamp, members): (RedisResult<Reply>, RedisResult<Reply>) = pipeline.query_async(&mut connection).await?;
        Ok(vec![self.copied(Published::from_ranking(stamp.ok(), members.ok())); keys.len()])
    }

    fn copied(&self, published: Option<Published>) -> Copied {
        let Some(published) = published else {
            return Copied { value: PublishedValue::Unreadable, version: (0, 0) };
        };
        Copied { version: published.version(), value: published.live(&self.live.promotion.to_string()) }
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

    /// The next page of the keys that a store holds for a view, without Elasticsearch's tombstones. A key may come
    /// twice.
    pub(super) async fn next_keys(&self, view: &View, listing: &mut Listing) -> Result<Vec<String>, PublishError> {
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
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(LIST_PAGE);
        let mut connection = self.redis.get().await?;
        let (next, redis_keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        let keys = redis_keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok((next, keys.filter(|key| !self.is_of_longer_view_name(view, key)).map(str::to_owned).collect()))
    }

    /// True if a key belongs to another view whose name begins with this view's name.
    fn is_of_longer_view_name(&self, view: &View, key: &str) -> bool {
        let mut suffixes =
            self.processor.views().filter_map(|other| other.name.strip_prefix(view.name)?.strip_prefix(':'));
        suffixes.any(|suffix| key.strip_prefix(suffix).is_some_and(|end| end.is_empty() || end.starts_with(':')))
    }

    async fn scroll(&self, view: &View, listing: &mut Listing) -> Result<Vec<String>, PublishError> {
        let response = if let Listing::Scroll(name) = listing {
            let body = json!({ "scroll": "1m", "scroll_id": name });
            self.search.scroll(ScrollParts::None).body(body).send().await?
        } else {
            let index = index_name(&self.connections, view.name, &self.live.generation);
            let body = json!({
                "size": LIST_PAGE,
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

fn document(mut answer: Value) -> Result<Copied, PublishError> {
    let error = answer["error"]["type"].as_str();
    if error.is_some_and(|error| error != "index_not_found_exception") {
        return Err(PublishError::Answer(answer.to_string()));
    }
    if error.is_some() || answer["found"] != json!(true) {
        return Ok(Copied { value: PublishedValue::Missing, version: (0, 0) });
    }
    let version = (0, answer["_version"].as_i64().unwrap_or_default());
    let source = answer["_source"].take();
    let value = (source["tombstone"] != json!(true)).then_some(source);
    Ok(Copied { value: PublishedValue::Value(value), version })
}
