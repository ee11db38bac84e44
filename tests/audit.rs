//! The audit of published values reports every value that differs from its view, and nothing else while a shop is
//! folding.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_fold::Processor;
use jangbogo_publish::{Audit, PublishedValue, audit, index_name};
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_recommendation_fold::co_purchase::SIMILAR_VIEW;
use jangbogo_recommendation_fold::popularity::{TRENDING_KEY, TRENDING_VIEW};
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use jangbogo_test_support::{Shop, demo_lines};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use uuid::Uuid;

async fn run_audit(shop: &Shop, processor: &'static Processor) -> Audit {
    let pool = jangbogo_platform::database::pool(&shop.connections, "audit", 2).unwrap();
    let live = shop.live(processor).await.unwrap();
    let mut compared = 0;
    let audit = audit(&shop.connections, &pool, processor, &live, |checked| compared = checked).await.unwrap();
    assert_eq!(compared, audit.checked);
    audit
}

async fn redis_connection(shop: &Shop) -> MultiplexedConnection {
    let client = redis::Client::open(shop.connections.redis.as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Keys of the published view of similar products.
async fn similar_keys(shop: &Shop) -> Vec<String> {
    let values = shop.redis_values().await;
    values.keys().filter_map(|key| key.strip_prefix(SIMILAR_VIEW)?.strip_prefix(':')).map(str::to_owned).collect()
}

/// The differences that an audit found, without the values.
fn differences(audit: &Audit) -> BTreeSet<(&'static str, String, &'static str)> {
    let kind = |found: &PublishedValue| match found {
        PublishedValue::Missing => "missing",
        PublishedValue::OtherPromotion => "of another promotion",
        PublishedValue::Unreadable => "unreadable",
        PublishedValue::Value(_) => "another value",
    };
    let samples = audit.samples.iter();
    let differences: BTreeSet<_> =
        samples.map(|sample| (sample.view, sample.key.clone(), kind(&sample.found))).collect();
    assert_eq!((differences.len() as u64, 0), (audit.differing, audit.unsettled));
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_reports_exactly_the_tampered_values() {
    let mut shop = Shop::open("audit").await;
    let directory = tempfile::tempdir().unwrap();
    shop.import(demo_lines(directory.path(), 5_000).to_str().unwrap());
    shop.start_processors();
    shop.settle().await;
    for processor in [&RECOMMENDATION, &ES_SYNC] {
        let audit = run_audit(&shop, processor).await;
        assert!(audit.checked > 1_000 && audit.samples.is_empty(), "{audit:?}");
    }

    let mut redis = redis_connection(&shop).await;
    let similar = similar_keys(&shop).await;
    let [changed, removed, outdated, retyped, ..] = &similar[..] else { panic!("{} keys", similar.len()) };
    let hash = |key: &str| shop.connections.namespace.redis_key(&format!("{SIMILAR_VIEW}:{key}"));
    let promotion = shop.live(&RECOMMENDATION).await.unwrap().promotion.to_string();
    let mut tamper = redis::pipe();
    tamper.hset(hash(changed), "value", "[]").del(hash(removed)).hset(hash(outdated), "promotion", "0");
    tamper.del(hash(retyped)).set(hash(retyped), "text");
    tamper.hset_multiple(
        hash("a stray"),
        &[("promotion", promotion.as_str()), ("epoch", "1"), ("number", "1"), ("value", "[]")],
    );
    tamper.zadd(shop.connections.namespace.redis_key(TRENDING_VIEW), "a stray", 0.5);
    let () = tamper.query_async(&mut redis).await.unwrap();
    let expected = [
        (SIMILAR_VIEW, changed.clone(), "another value"),
        (SIMILAR_VIEW, removed.clone(), "missing"),
        (SIMILAR_VIEW, outdated.clone(), "of another promotion"),
        (SIMILAR_VIEW, retyped.clone(), "unreadable"),
        (SIMILAR_VIEW, "a stray".to_owned(), "another value"),
        (TRENDING_VIEW, TRENDING_KEY.to_owned(), "another value"),
    ];
    assert_eq!(differences(&run_audit(&shop, &RECOMMENDATION).await), expected.into());

    let live = shop.live(&ES_SYNC).await.unwrap();
    let index = index_name(&shop.connections, PRODUCTS_VIEW, &live.generation);
    let url = |path: &str| format!("{}/{index}/{path}", shop.connections.elasticsearch);
    let documents: Vec<(String, Value)> = shop.documents(&index).await.into_iter().take(2).collect();
    let [(changed, document), (removed, _)] = &documents[..] else { panic!("{documents:?}") };
    let mut other = document.clone();
    other["title"] = json!("another");
    let client = reqwest::Client::new();
    let newer = "version_type=external&version=9007199254740992";
    for request in [
        client.put(url(&format!("_doc/{changed}?{newer}"))).json(&other),
        client.delete(url(&format!("_doc/{removed}?{newer}"))),
        client.put(url("_doc/stray?refresh=true")).json(&json!({ "product_id": "stray" })),
    ] {
        request.send().await.unwrap().error_for_status().unwrap();
    }
    let audit = run_audit(&shop, &ES_SYNC).await;
    let expected = [
        (PRODUCTS_VIEW, changed.clone(), "another value"),
        (PRODUCTS_VIEW, removed.clone(), "missing"),
        (PRODUCTS_VIEW, "stray".to_owned(), "another value"),
    ];
    assert_eq!(differences(&audit), expected.into());
    let difference = audit.samples.iter().find(|difference| difference.key == *changed).unwrap();
    assert_eq!(difference.expected.as_ref(), Some(document));
    assert_eq!(difference.found, PublishedValue::Value(Some(other)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_during_folding_reports_no_difference() {
    let mut shop = Shop::open("audit_live").await;
    let directory = tempfile::tempdir().unwrap();
    shop.import(demo_lines(directory.path(), 2_000).to_str().unwrap());
    shop.start_processors();
    shop.settle().await;
    shop.import(demo_lines(directory.path(), 40_000).to_str().unwrap());
    // Until the log is folded and published, some published value is older than the rows.
    let mut audits = 0;
    while shop.why_unsettled(&RECOMMENDATION).await.is_some() {
        for processor in [&RECOMMENDATION, &ES_SYNC] {
            let audit = run_audit(&shop, processor).await;
            assert_eq!(audit.differing, 0, "{audit:?}");
        }
        audits += 1;
    }
    assert!(audits > 0, "the shop was settled at once");
    shop.settle().await;
    for processor in [&RECOMMENDATION, &ES_SYNC] {
        let audit = run_audit(&shop, processor).await;
        assert_eq!((audit.differing, audit.unsettled), (0, 0), "{audit:?}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_an_earlier_promotion_are_deleted_from_redis() {
    let mut shop = Shop::open("left").await;
    let directory = tempfile::tempdir().unwrap();
    shop.import(demo_lines(directory.path(), 2_000).to_str().unwrap());
    shop.start_processors();
    shop.settle().await;
    let before = shop.redis_values().await;

    let mut redis = redis_connection(&shop).await;
    let live = shop.live(&RECOMMENDATION).await.unwrap();
    let key = |name: &str| shop.connections.namespace.redis_key(name);
    let obsolete = key("rec:similar:zzz");
    let cached = key("rec:user:zzz");
    let fields = [("promotion", live.promotion.to_string()), ("epoch", "1".into()), ("number", "1".into())];
    let () = redis::pipe()
        .hset_multiple(&obsolete, &fields)
        .hset(&obsolete, "value", "[]")
        .set(&cached, "a list")
        .query_async(&mut redis)
        .await
        .unwrap();
    // As a cut-over does: a new promotion, and a publisher without a known Redis instance.
    let sql = format!(
        "WITH anew AS (UPDATE {}.publisher SET redis_incarnation = NULL)
         UPDATE live_generation SET promotion = $2 WHERE processor = $1",
        live.generation.schema
    );
    let new_promotion = Uuid::now_v7();
    let mut database = shop.database().await;
    sqlx::query(&sql).bind(RECOMMENDATION.name).bind(new_promotion).execute(&mut database).await.unwrap();

    let started = Instant::now();
    while shop.redis_keys().await.contains(&obsolete) {
        assert!(started.elapsed() < Duration::from_mins(1), "the old value is still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(shop.redis_keys().await.contains(&cached), "cached lists are not published values");
    assert_eq!(shop.redis_values().await, before);
    let audit = run_audit(&shop, &RECOMMENDATION).await;
    assert_eq!(audit.samples, []);
    let similar = similar_keys(&shop).await.remove(0);
    let promotion: String = redis::cmd("HGET")
        .arg(key(&format!("rec:similar:{similar}")))
        .arg("promotion")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(promotion, new_promotion.to_string());
    shop.close().await;
}
