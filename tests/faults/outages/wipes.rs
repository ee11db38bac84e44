//! Wipes stores, and waits until they have recovered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_processors::PROCESSORS;
use jangbogo_publish::index_name;
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use jangbogo_shared_projections::conversation::MESSAGES_VIEW;
use jangbogo_store::generations;
use jangbogo_test_support::{Digest, Shop};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

const PAUSE: Duration = Duration::from_millis(200);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);
const RECOVERED_WITHIN: Duration = Duration::from_mins(1);
/// Publishers check their stores once a second; obsolete indexes are deleted last.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);

pub async fn flush_redis(shop: &Shop) {
    let client = redis::Client::open(shop.connections.redis.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
}

/// Deletes the search index once it exists: a server that has just been wiped has none.
pub async fn delete_index(shop: &Shop) {
    let live = shop.live(&ES_SYNC).await.unwrap();
    let index = index_name(&shop.connections, PRODUCTS_VIEW, &live.generation);
    let url = format!("{}/{index}", shop.connections.elasticsearch);
    let began = Instant::now();
    loop {
        let status = reqwest::Client::new().delete(&url).send().await.unwrap().status();
        if status.is_success() {
            return;
        }
        assert!(began.elapsed() < RECOVERED_WITHIN, "the index was not deleted: {status}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Drops the shop's database while programs are connected to it.
pub async fn drop_database(shop: &Shop) {
    let options = jangbogo_platform::database::options(&shop.connections, "test").unwrap().database("postgres");
    let mut maintenance = PgConnection::connect_with(&options).await.unwrap();
    let sql = format!("DROP DATABASE {} WITH (FORCE)", shop.connections.namespace.database());
    sqlx::query(&sql).execute(&mut maintenance).await.unwrap();
}

/// Waits until the outbox is empty.
pub async fn wait_until_drained(shop: &Shop) {
    let began = Instant::now();
    let mut database = shop.database().await;
    loop {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut database).await.unwrap();
        if left == 0 {
            return;
        }
        assert!(began.elapsed() < DRAINED_WITHIN, "{left} rows are still in the outbox");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until every processor has a live generation again.
pub async fn wait_until_recovered(shop: &Shop) {
    let began = Instant::now();
    loop {
        match live_generations(shop).await {
            Ok(generations) if generations == PROCESSORS.len() => return,
            other => assert!(began.elapsed() < RECOVERED_WITHIN, "no live generations: {other:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn live_generations(shop: &Shop) -> Result<usize, sqlx::Error> {
    let options = jangbogo_platform::database::options(&shop.connections, "test")?;
    let mut database = PgConnection::connect_with(&options).await?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM live_generation").fetch_one(&mut database).await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Waits until all stores hold what they held before the wipe.
pub async fn wait_until_restored(shop: &Shop, before: &Digest, limit: Duration) {
    shop.settle_within(limit).await;
    // A publisher may notice only now that the watermark has advanced.
    shop.wait_for_digest(before, Duration::from_secs(15)).await;
}

/// Waits until Elasticsearch has no index of a generation that was dropped.
pub async fn wait_until_no_orphans(shop: &Shop) {
    let expected: BTreeSet<String> = generations(&mut shop.database().await, Some(ES_SYNC.name))
        .await
        .unwrap()
        .iter()
        .flat_map(|stored| {
            [PRODUCTS_VIEW, MESSAGES_VIEW].map(|view| index_name(&shop.connections, view, &stored.generation))
        })
        .collect();
    let began = Instant::now();
    loop {
        let url = format!("{}/_all/_settings/index.uuid", shop.connections.elasticsearch);
        let settings: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let indexes: BTreeSet<String> = settings.as_object().unwrap().keys().cloned().collect();
        if indexes == expected {
            return;
        }
        assert!(began.elapsed() < REMOVED_WITHIN, "indexes {indexes:?}, generations {expected:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
