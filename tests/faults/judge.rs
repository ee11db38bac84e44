//! Compares a settled shop with the oracle's rows; tables that the oracle does not know with a fresh fold (`replay
//! verify`); and Redis and Elasticsearch with the views of the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use jangbogo_fold::{Processor, Target, View};
use jangbogo_processors::PROCESSORS;
use jangbogo_test_support::Shop;
use jangbogo_test_support::log::read;
use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use crate::oracle::{Oracle, compare};
use crate::replaying;

/// Published values may lag for this time after the shop has settled: publishers notice an advanced watermark with a
/// delay.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(15);
/// Number of keys for which a view is evaluated at once.
const KEYS: usize = 1_000;

/// Numbers of what was compared.
pub struct Judgement {
    /// Records in the log.
    pub records: u64,
    /// Records that repeat an earlier event.
    pub repeats: u64,
    /// Rows that equal the oracle's.
    pub rows: u64,
    /// Published values that equal the rows' views.
    pub published: usize,
}

/// Waits until the shop has settled, and compares everything.
pub async fn judge(shop: &Shop, settle_within: Duration) -> Judgement {
    shop.settle_within(settle_within).await;
    let mut oracle = Oracle::new(shop.connections.time_zone);
    let (kafka, namespace) = (&shop.connections.kafka, shop.connections.namespace.to_string());
    tokio::task::block_in_place(|| read(kafka, &namespace, |record| oracle.take(record)));
    let mut rows = 0;
    for processor in PROCESSORS {
        let tables = oracle.tables(processor.name);
        let schema = shop.live(processor).await.unwrap().generation.schema;
        match compare(&mut shop.database().await, &schema, &tables).await {
            Ok(equal) => rows += equal,
            Err(differences) => panic!("{} differs from the oracle:\n{differences}", processor.name),
        }
    }
    replaying::succeed(shop, &["verify", "--all"]).await;
    let published = assert_published_values(shop).await;
    Judgement { records: oracle.records, repeats: oracle.repeats, rows, published }
}

async fn assert_published_values(shop: &Shop) -> usize {
    let settled = Instant::now();
    loop {
        let digest = shop.digest().await;
        let (values, documents) = views(shop).await;
        let difference = difference("Redis", &digest.redis, &values)
            .or_else(|| difference("Elasticsearch", &digest.documents, &documents));
        match difference {
            None => return values.len() + documents.len(),
            Some(difference) if settled.elapsed() > PUBLISHED_WITHIN => panic!("{difference}"),
            Some(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// Expected contents of Redis and Elasticsearch: the views of the rows.
async fn views(shop: &Shop) -> (BTreeMap<String, String>, BTreeMap<String, Value>) {
    let (mut values, mut documents) = (BTreeMap::new(), BTreeMap::new());
    for processor in PROCESSORS {
        for view in processor.views() {
            let evaluated = match view.target {
                Target::RedisHash | Target::RedisRanking | Target::Elasticsearch { .. } => {
                    evaluate(shop, processor, view).await
                }
                _ => continue,
            };
            match view.target {
                Target::RedisHash => {
                    let value = |(key, value): (String, Value)| (format!("{}:{key}", view.name), value.to_string());
                    values.extend(evaluated.into_iter().map(value));
                }
                Target::RedisRanking => {
                    values.extend(evaluated.values().next().map(|value| (view.name.to_owned(), ranking(value))));
                }
                _ => documents.extend(evaluated),
            }
        }
    }
    (values, documents)
}

async fn evaluate(shop: &Shop, processor: &Processor, view: &View) -> BTreeMap<String, Value> {
    let mut database = shop.database().await;
    let schema = shop.live(processor).await.unwrap().generation.schema;
    let sql = format!("SET search_path = {schema}, public");
    sqlx::raw_sql(&sql).execute(&mut database).await.unwrap();
    let now: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT date_trunc('hour', max(max_event_time), 'UTC') FROM checkpoint")
            .fetch_one(&mut database)
            .await
            .unwrap();
    let keys: Vec<String> =
        sqlx::query_scalar(view.all_keys).bind("").bind(i64::MAX).fetch_all(&mut database).await.unwrap();
    let mut values = BTreeMap::new();
    for keys in keys.chunks(KEYS) {
        values.extend(evaluate_keys(&mut database, view, keys, now.unwrap_or_default()).await);
    }
    values
}

async fn evaluate_keys(
    database: &mut PgConnection,
    view: &View,
    keys: &[String],
    now: DateTime<Utc>,
) -> Vec<(String, Value)> {
    let query = sqlx::query(view.query).bind(keys).bind(now);
    query.fetch_all(database).await.unwrap().iter().map(|row| (row.get("key"), row.get("value"))).collect()
}

/// A ranking as a sorted set returns it: by ascending score, then by name.
fn ranking(value: &Value) -> String {
    let member = |item: &Value| (item["score"].as_f64().unwrap(), item["product_id"].as_str().unwrap().to_owned());
    let mut members: Vec<(f64, String)> = value.as_array().unwrap().iter().map(member).collect();
    members.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
    let members: Vec<(String, f64)> = members.into_iter().map(|(score, product_id)| (product_id, score)).collect();
    format!("{members:?}")
}

/// Describes the first difference, if any.
fn difference<V: PartialEq + std::fmt::Debug>(
    store: &str,
    actual: &BTreeMap<String, V>,
    expected: &BTreeMap<String, V>,
) -> Option<String> {
    let keys: BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
    let differing: Vec<&String> = keys.into_iter().filter(|key| actual.get(*key) != expected.get(*key)).collect();
    let first = differing.first()?;
    let (actual, expected) = (actual.get(*first), expected.get(*first));
    Some(format!("{store}: {} keys differ, such as {first}:\n{actual:?}, not\n{expected:?}", differing.len()))
}
