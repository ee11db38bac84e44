//! Reads while the schema is older or newer than the query service.

use std::path::Path;
use std::time::{Duration, Instant};

use jangbogo_platform::database;
use jangbogo_recommendation_fold::RECOMMENDATION;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::migrate::{Migrate as _, Migrator};

use crate::shop::{Shop, get};

async fn migrations() -> Migrator {
    Migrator::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"))).await.unwrap()
}

/// Waits until the check of Postgres in `/readyz` passes, or fails.
async fn postgres_check_becomes(base: &str, ok: bool) {
    let began = Instant::now();
    loop {
        let report: Value = reqwest::get(format!("{base}/readyz")).await.unwrap().json().await.unwrap();
        if report["checks"]["postgres"]["ok"] == ok {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{report}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_two_migrations_reads_are_unavailable() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    assert_eq!(get(&base, "/v1/trending").await.status, StatusCode::OK);
    postgres_check_becomes(&base, true).await;
    let mut database = shop.wipe_database().await;
    database.ensure_migrations_table().await.unwrap();
    postgres_check_becomes(&base, false).await;
    let conversation = "/v1/conversations/01939d2e-6c00-7a10-8000-000000000001";
    let lists = ["/v1/trending", "/v1/members/cyd/recommendations", "/v1/analytics/totals", conversation];
    for (applied, migration) in migrations().await.iter().enumerate() {
        for path in lists {
            let response = get(&base, path).await;
            assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE, "{path} after {applied}: {}", response.body);
            assert_eq!(response.body["type"], "urn:jangbogo:problem:unavailable", "{path} after {applied}");
            assert_eq!(response.retry_after.as_deref(), Some("1"), "{path} after {applied}");
        }
        // It reads nothing that is newer than the second migration.
        let pipeline = get(&base, "/v1/pipeline").await;
        let expected = if applied < 2 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        assert_eq!(pipeline.status, expected, "after {applied}: {}", pipeline.body);
        postgres_check_becomes(&base, false).await;
        database.apply(migration).await.unwrap();
    }
    database.close().await.unwrap();

    shop.fold_by(&RECOMMENDATION).await;
    shop.product("tote", "RED TOTE").await;
    shop.order("o1", "cyd", &["tote"]).await;
    assert_eq!(get(&base, "/v1/trending").await.products(), ["tote"]);
    for path in ["/v1/members/cyd/recommendations", "/v1/pipeline"] {
        assert_eq!(get(&base, path).await.status, StatusCode::OK, "{path}");
    }
    postgres_check_becomes(&base, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_are_seen_all_at_once() {
    let mut shop = Shop::start().await;
    let mut session = shop.wipe_database().await;
    let all = i64::try_from(migrations().await.iter().count()).unwrap();
    let connections = shop.cli.connections.clone();
    // Two programs at once: the second finds nothing to do.
    let migrating = tokio::spawn(async move {
        let (first, second) = tokio::join!(database::migrate(&connections), database::migrate(&connections));
        first.and(second)
    });
    while !migrating.is_finished() {
        let applied: Result<i64, _> =
            sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&mut session).await;
        match applied {
            Ok(applied) => assert_eq!(applied, all),
            Err(error) => assert!(database::is_missing(&error), "{error}"),
        }
    }
    migrating.await.unwrap().unwrap();
    assert!(database::is_migrated(&shop.pool).await.unwrap());
}
