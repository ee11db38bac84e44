//! Published values, cached lists, and unavailable servers.

use std::time::Duration;

use jangbogo_events::ProductRetired;
use jangbogo_platform::config::Connections;
use jangbogo_publish::publish_ahead;
use jangbogo_recommendation_fold::RECOMMENDATION;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::shop::{Shop, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_published_values_and_cached_lists_are_not_served() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    for (product_id, title) in [("tote", "RED TOTE"), ("purse", "BLUE PURSE"), ("belt", "BELT"), ("hat", "HAT")] {
        shop.product(product_id, title).await;
    }
    shop.order("o1", "ann", &["tote", "purse"]).await;
    shop.order("o2", "bob", &["tote", "purse", "belt"]).await;
    shop.order("o3", "cyd", &["tote"]).await;

    // Nothing is published: rows answer.
    let similar = "/v1/products/tote/similar";
    assert_eq!(get(&base, similar).await.products(), ["purse", "belt"]);
    // A published value is served if it is of the live promotion.
    let hat = json!([{ "product_id": "hat", "score": 1.0, "orders": 1 }]);
    shop.publish("rec:similar:tote", shop.live.promotion, hat.clone()).await;
    assert_eq!(get(&base, similar).await.products(), ["hat"]);
    shop.publish("rec:similar:tote", Uuid::now_v7(), hat).await;
    assert_eq!(get(&base, similar).await.products(), ["purse", "belt"], "of another promotion");

    // A member's list: ranked once, then cached under the member's version.
    let list = "/v1/members/cyd/recommendations";
    let first = get(&base, list).await;
    assert_eq!((first.cache.as_deref(), first.products()), (Some("miss"), vec!["purse", "belt"]));
    assert_eq!(first.body["basis"], "history");
    assert_eq!(first.body["items"][0]["reason"], "often bought with RED TOTE, which you bought; popular in bags");
    assert_eq!(get(&base, list).await.cache.as_deref(), Some("hit"));
    let stale: String = shop.redis.get(shop.key("rec:user:cyd")).await.unwrap();

    // An act of the member invalidates the list, even if the old one is written back.
    shop.order("o4", "cyd", &["purse"]).await;
    let _: () = shop.redis.set(shop.key("rec:user:cyd"), stale).await.unwrap();
    let second = get(&base, list).await;
    assert_eq!((second.cache.as_deref(), second.products()), (Some("miss"), vec!["belt"]), "the purse is bought");

    // Another instance finds the list in Redis.
    let other = shop.serve(shop.cli.connections.clone()).await;
    let shared = get(&other, list).await;
    assert_eq!((shared.cache.as_deref(), shared.products()), (Some("hit"), vec!["belt"]));

    // A product that is taken off sale leaves every list at once.
    shop.fold::<ProductRetired>(json!({ "product_id": "belt" })).await;
    assert_eq!(get(&base, "/v1/products/belt").await.status, StatusCode::GONE);
    assert_eq!(get(&base, similar).await.products(), ["purse"]);
    assert!(get(&base, list).await.products().is_empty());

    // An unknown member.
    let stranger = get(&base, "/v1/members/stranger/recommendations?limit=1").await;
    assert_eq!((&stranger.body["basis"], stranger.products()), (&json!("cold-start"), vec!["purse"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_published_ahead_are_served_from_the_promotion_on() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    for (product_id, title) in [("tote", "RED TOTE"), ("purse", "BLUE PURSE"), ("belt", "BELT")] {
        shop.product(product_id, title).await;
    }
    shop.order("o1", "ann", &["tote", "purse"]).await;
    let coming = Uuid::now_v7();
    publish_ahead(&shop.cli.connections, &RECOMMENDATION, &shop.generation, coming, |_| {}).await.unwrap();
    // Makes rows and published values differ.
    shop.order("o2", "bob", &["tote", "belt"]).await;

    let (similar, trending) = ("/v1/products/tote/similar", "/v1/trending");
    assert_eq!(get(&base, similar).await.products(), ["belt", "purse"], "rows, before the switch");
    assert_eq!(get(&base, trending).await.products(), ["tote", "belt", "purse"]);
    shop.promote(coming).await;
    assert_eq!(get(&base, similar).await.products(), ["purse"], "what was published");
    assert_eq!(get(&base, trending).await.products(), ["purse", "tote"]);
    // The publisher's value replaces it, and the next promotion ignores it.
    shop.publish("rec:similar:tote", coming, json!([{ "product_id": "belt", "score": 1.0, "orders": 1 }])).await;
    assert_eq!(get(&base, similar).await.products(), ["belt"]);
    shop.promote(Uuid::now_v7()).await;
    assert_eq!(get(&base, similar).await.products(), ["belt", "purse"], "rows");
    assert_eq!(get(&base, trending).await.products(), ["tote", "belt", "purse"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_server_causes_no_wrong_answer() {
    let mut shop = Shop::start().await;
    for (product_id, title) in [("tote", "RED TOTE"), ("purse", "BLUE PURSE")] {
        shop.product(product_id, title).await;
    }
    shop.order("o1", "ann", &["tote", "purse"]).await;
    // Nothing listens on a free port.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let connections = Connections {
        redis: format!("redis://{free}"),
        elasticsearch: format!("http://{free}"),
        kafka: free.to_string(),
        ..shop.cli.connections.clone()
    };
    let base = shop.serve(connections).await;

    let started = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(get(&base, "/v1/products/tote/similar").await.products(), ["purse"]);
        assert_eq!(get(&base, "/v1/trending").await.products(), ["purse", "tote"]);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "a time-out for each request");

    let search = get(&base, "/v1/search?q=tote").await;
    assert_eq!((search.status, search.retry_after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    let pipeline = get(&base, "/v1/pipeline/recommendation").await;
    assert_eq!(pipeline.status, StatusCode::OK);
    assert_eq!(pipeline.body["settled"], false);
    assert!(pipeline.body["kafka_error"].is_string());

    // With Elasticsearch there, but no index yet.
    let base = shop.serve(shop.cli.connections.clone()).await;
    let search = get(&base, "/v1/search?q=tote").await;
    assert_eq!((search.status, search.retry_after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
}
