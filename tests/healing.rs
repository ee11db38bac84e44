//! Wiped Redis and Elasticsearch recover by themselves: they hold copies of what Postgres has.

use std::time::Duration;

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_publish::index_name;
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use jangbogo_test_support::{Shop, demo_lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_redis_and_a_deleted_index_are_published_again() {
    let mut shop = Shop::open("heals").await;
    let directory = tempfile::tempdir().unwrap();
    shop.import(demo_lines(directory.path(), 20_000).to_str().unwrap());
    shop.start_processors();
    shop.settle().await;
    let before = shop.digest().await;
    assert!(before.redis.len() > 1_000 && before.documents.len() > 1_000);

    // As FLUSHALL, for this shop only: other tests use the same Redis.
    let client = redis::Client::open(shop.connections.redis.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let keys = shop.redis_keys().await;
    let _: i64 = redis::cmd("UNLINK").arg(keys).query_async(&mut redis).await.unwrap();
    let live = shop.live(&ES_SYNC).await.unwrap();
    let index = index_name(&shop.connections, PRODUCTS_VIEW, &live.generation);
    let url = format!("{}/{index}", shop.connections.elasticsearch);
    assert!(reqwest::Client::new().delete(url).send().await.unwrap().status().is_success());

    shop.wait_for_digest(&before, Duration::from_mins(2)).await;
    shop.settle().await;
    shop.close().await;
}
