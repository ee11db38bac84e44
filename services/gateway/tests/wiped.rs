//! The database is wiped or migrated under ingress: either program migrates it without help.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shop;

use std::path::Path;
use std::time::{Duration, Instant};

use jangbogo_platform::database;
use reqwest::Client;
use serde_json::json;
use shop::conversation::{open, post_message, problem_type};
use shop::{Shop, answer, post, with_shop};
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::{Connection as _, PgConnection};

const SOON: Duration = Duration::from_secs(20);

/// Sends an order until it is accepted; returns its event's id.
async fn order(gateway: &str, order_id: &str) -> String {
    let body = json!({
        "order_id": order_id,
        "currency": "GBP",
        "items": [{ "product_id": "20725", "quantity": 1, "total_minor": 165 }],
    });
    let began = Instant::now();
    loop {
        let (status, answer) = answer(post(format!("{gateway}/v1/orders"), body.to_string()).await).await;
        if status == 202 {
            return answer["event_ids"][0].as_str().unwrap().to_owned();
        }
        // At any time, the answer is 202 or 503.
        assert_eq!(status, 503, "{answer}");
        assert!(began.elapsed() < SOON, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn gateway_is_ready(url: &str) {
    let began = Instant::now();
    while !Client::new().get(format!("{url}/readyz")).send().await.unwrap().status().is_success() {
        assert!(began.elapsed() < SOON, "the gateway is not ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn is_migrated(shop: &Shop) {
    let began = Instant::now();
    while let Err(error) = sqlx::query("SELECT FROM outbox").execute(&shop.pool).await {
        assert!(began.elapsed() < SOON, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn either_program_of_ingress_migrates_a_wiped_database() {
    with_shop(true, async |shop| {
        let mut dispatcher = shop.dispatcher();
        dispatcher.ready_status(200, SOON).await;
        shop.drop_database().await;
        is_migrated(&shop).await;
        dispatcher.ready_status(200, SOON).await;

        let gateway = shop.gateway().await;
        let first = order(&gateway, "1").await;
        let conversation = open(&gateway).await;
        shop.drained(SOON).await;
        shop.drop_database().await;
        let second = order(&gateway, "2").await;
        let began = Instant::now();
        let (status, problem) = loop {
            let (status, problem) = post_message(&gateway, &conversation, "still there?").await;
            // 503 on a connection to the dropped database.
            if status != 503 || began.elapsed() > SOON {
                break (status, problem);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((status, problem_type(&problem)), (404, "unknown-conversation"), "the decision used wiped rows");
        shop.drained(SOON).await;
        dispatcher.ready_status(200, SOON).await;
        let log = shop.log().await;
        assert_eq!(log.len(), 3, "{log:?}");
        assert!([first, second].iter().all(|id| log.iter().any(|sent| sent.id() == id)));

        dispatcher.kill();
        shop.drop_database().await;
        is_migrated(&shop).await;
        gateway_is_ready(&gateway).await;
    })
    .await;
}

#[tokio::test]
async fn between_two_migrations_commands_are_accepted_or_unavailable() {
    with_shop(false, async |shop| {
        shop.drop_database().await;
        let options = database::options(&shop.connections, "test").unwrap();
        let mut session = PgConnection::connect_with(&options.clone().database("postgres")).await.unwrap();
        let create = format!(
            "CREATE DATABASE {} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0",
            shop.connections.namespace.database()
        );
        sqlx::query(&create).execute(&mut session).await.unwrap();
        // While this session holds the migrators' lock, the gateway migrates nothing.
        let mut session = PgConnection::connect_with(&options).await.unwrap();
        session.lock().await.unwrap();
        session.ensure_migrations_table().await.unwrap();
        let gateway = shop.gateway().await;
        let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"));
        for (applied, migration) in Migrator::new(migrations).await.unwrap().iter().enumerate() {
            let order = json!({
                "order_id": applied.to_string(), "currency": "GBP",
                "items": [{ "product_id": "20725", "quantity": 1, "total_minor": 165 }],
            });
            // Orders need the first migration, conversations the fifth.
            let commands =
                [("orders", order, applied >= 1), ("conversations", json!({ "member_id": "13085" }), applied >= 5)];
            for (path, body, is_accepted) in commands {
                let response = post(format!("{gateway}/v1/{path}"), body.to_string()).await;
                let retry_after = response.headers().get("retry-after").cloned();
                let (status, body) = answer(response).await;
                if is_accepted {
                    assert_eq!(status, 202, "{path} after {applied}: {body}");
                } else {
                    assert_eq!((status, problem_type(&body)), (503, "unavailable"), "{path} after {applied}");
                    assert_eq!(retry_after.unwrap(), "1", "{path} after {applied}");
                }
            }
            let ready = Client::new().get(format!("{gateway}/readyz")).send().await.unwrap();
            assert_eq!(ready.status(), 503, "after {applied}");
            session.apply(migration).await.unwrap();
        }
        session.close().await.unwrap();
        gateway_is_ready(&gateway).await;
        order(&gateway, "last").await;
        open(&gateway).await;
    })
    .await;
}
