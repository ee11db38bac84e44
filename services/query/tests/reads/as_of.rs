//! Generations that a request names by `as_of`.

use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_store::Generation;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::shop::{Shop, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_from_the_generations_it_names() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    // In the past, the tote was bought with the purse.
    let past = shop.generation(&RECOMMENDATION, "ready").await;
    shop.fold_into(past.clone(), 2010);
    shop.product("tote", "OLD TOTE").await;
    shop.product("purse", "BLUE PURSE").await;
    for (order, member) in [("o1", "ann"), ("o2", "bob")] {
        shop.order(order, member, &["tote", "purse"]).await;
    }
    shop.order("o3", "cyd", &["tote"]).await;
    // Now it is bought with the belt, as published in Redis.
    shop.fold_into(shop.live.generation.clone(), 2026);
    for (product_id, title) in [("tote", "RED TOTE"), ("purse", "BLUE PURSE"), ("belt", "BELT")] {
        shop.product(product_id, title).await;
    }
    for (order, member) in [("o1", "ann"), ("o2", "bob")] {
        shop.order(order, member, &["tote", "belt"]).await;
    }
    shop.order("o3", "cyd", &["tote"]).await;
    let belt = json!([{ "product_id": "belt", "score": 1.0, "orders": 2 }]);
    shop.publish("rec:similar:tote", shop.live.promotion, belt).await;

    let named = |generation: &Generation| Some(format!("recommendation={}", generation.id));
    let list = "/v1/members/cyd/recommendations";
    for cache in ["miss", "hit"] {
        let now = get(&base, list).await;
        assert_eq!((now.products(), now.cache.as_deref()), (vec!["belt"], Some(cache)));
        assert_eq!(now.generations, named(&shop.live.generation));
    }
    let cached: String = shop.redis.get(shop.key("rec:user:cyd")).await.unwrap();

    // The list as of then, with the products of that time; never cached.
    let all = past.id.to_string();
    let end = &past.id.simple().to_string()[24..];
    for id in [all.as_str(), &past.id.simple().to_string(), end, &end.to_uppercase()] {
        let then = get(&base, &format!("{list}?as_of={id}")).await;
        assert_eq!((then.products(), then.cache.as_deref()), (vec!["purse"], Some("bypass")), "{id}");
        assert_eq!(then.body["items"][0]["reason"], "often bought with OLD TOTE, which you bought; popular in bags");
        assert_eq!(then.generations, named(&past));
    }
    let kept: String = shop.redis.get(shop.key("rec:user:cyd")).await.unwrap();
    assert_eq!(kept, cached);
    for (path, products) in [
        ("/v1/products/tote/similar", vec!["purse"]),
        // By the attention of that time, not of this one.
        ("/v1/trending", vec!["tote", "purse"]),
        ("/v1/categories/bags/popular", vec!["tote", "purse"]),
    ] {
        let then = get(&base, &format!("{path}?as_of={all}")).await;
        assert_eq!((then.products(), &then.generations), (products, &named(&past)), "{path}");
    }
    assert_eq!(get(&base, "/v1/products/tote/similar").await.products(), ["belt"]);
    let categories = get(&base, &format!("/v1/categories?as_of={all}")).await;
    assert_eq!(categories.body["categories"], json!([{ "category": "bags", "products": 2 }]));
    let tote = get(&base, &format!("/v1/products/tote?as_of={all}")).await;
    assert_eq!((&tote.body["title"], tote.generations), (&json!("OLD TOTE"), named(&past)));
    let belt = get(&base, &format!("/v1/products/belt?as_of={all}")).await;
    assert_eq!((belt.status, belt.generations), (StatusCode::NOT_FOUND, named(&past)), "it was unknown then");

    // The live generation can be named as well: its rows answer, not its published values.
    let live = shop.live.generation.clone();
    let _: i64 = shop.redis.del(shop.key("rec:similar:tote")).await.unwrap();
    shop.publish("rec:similar:tote", shop.live.promotion, json!([{ "product_id": "purse", "score": 1.0 }])).await;
    let rows = get(&base, &format!("/v1/products/tote/similar?as_of={}", live.id)).await;
    assert_eq!((rows.products(), &rows.generations), (vec!["belt"], &named(&live)));
    shop.set(&past, "state", "frozen").await;
    assert_eq!(get(&base, &format!("{list}?as_of={all}")).await.products(), ["purse"], "kept after a cut-over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_cannot_answer_is_refused() {
    let shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let past = shop.generation(&RECOMMENDATION, "ready").await;
    let sales = shop.generation(&ANALYTICS, "ready").await;
    let documents = shop.generation(&ES_SYNC, "ready").await;
    let hydrating = shop.generation(&RECOMMENDATION, "hydrating").await;
    let other_fold = shop.generation(&RECOMMENDATION, "ready").await;
    shop.set(&other_fold, "fold_version", "0.1/UTC").await;
    let other_zone = shop.generation(&RECOMMENDATION, "ready").await;
    shop.set(&other_zone, "fold_version", &format!("{}/Asia/Seoul", RECOMMENDATION.code_version())).await;

    // Two ids with the same end, which are never drawn.
    let twins = [Uuid::from_u128(0x1_0000_0000_feed_beef), Uuid::from_u128(0x2_0000_0000_feed_beef)];
    for twin in twins {
        let sql = "INSERT INTO generation (processor, generation, schema_name, fold_version, state)
                   VALUES ('recommendation', $1, $1::text, '1', 'ready')";
        sqlx::query(sql).bind(twin).execute(&shop.pool).await.unwrap();
    }

    let unknown = Uuid::now_v7();
    let (trending, search) = ("/v1/trending", "/v1/search");
    for (path, as_of, status, slug, words) in [
        (trending, unknown.to_string(), 404, "unknown-generation", vec![unknown.simple().to_string()]),
        (trending, "latest".to_owned(), 400, "invalid-parameter", vec!["latest".to_owned()]),
        (trending, String::new(), 400, "invalid-parameter", vec!["as_of".to_owned()]),
        (
            trending,
            format!("{},{}", past.id, other_zone.id),
            400,
            "generations-of-one-processor",
            vec![past.id.to_string(), other_zone.id.to_string()],
        ),
        (
            trending,
            sales.id.to_string(),
            400,
            "no-generation-named",
            vec!["recommendation".to_owned(), "analytics".to_owned()],
        ),
        (trending, "feedbeef".to_owned(), 400, "ambiguous-generation", twins.map(|twin| twin.to_string()).to_vec()),
        (trending, hydrating.id.to_string(), 409, "incomplete-generation", vec!["hydrating".to_owned()]),
        (
            trending,
            other_fold.id.to_string(),
            409,
            "other-fold-version",
            vec!["version 0.1".to_owned(), format!("version {}", RECOMMENDATION.code_version())],
        ),
        (search, documents.id.to_string(), 400, "invalid-parameter", vec!["search is not kept".to_owned()]),
        ("/v1/pipeline", past.id.to_string(), 400, "unknown-parameter", vec!["as_of".to_owned()]),
    ] {
        let response = get(&base, &format!("{path}?as_of={as_of}")).await;
        assert_eq!(response.status.as_u16(), status, "{path} {as_of}: {}", response.body);
        assert_eq!(response.body["type"], format!("urn:jangbogo:problem:{slug}"), "{path} {as_of}");
        let detail = response.body["detail"].as_str().unwrap();
        assert!(words.iter().all(|word| detail.contains(word)), "{path} {as_of}: {detail}");
        assert_eq!(response.generations, None, "{path} {as_of}");
    }

    // Of several generations, the answer names those that it read.
    let both = format!("{},{}", sales.id, other_zone.id);
    let response = get(&base, &format!("/v1/trending?as_of={both}")).await;
    assert_eq!(response.generations, Some(format!("recommendation={}", other_zone.id)), "{}", response.body);
    let response = get(&base, &format!("/v1/analytics/totals?as_of={both}")).await;
    assert_eq!(response.generations, Some(format!("analytics={}", sales.id)), "{}", response.body);
    let response = get(&base, "/v1/pipeline/recommendation").await;
    assert_eq!(response.generations, Some(format!("recommendation={}", shop.live.generation.id)), "{}", response.body);
}
