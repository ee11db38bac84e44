//! Reads on the real servers: rows folded here, without Kafka and without a publisher, so that each store says
//! exactly what a case needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use clap::Parser as _;
use events::{Envelope, Event, OrderCompleted, ProductRetired, ProductUpserted, Topic};
use futures::FutureExt as _;
use projections::{ES_SYNC, RECOMMENDATION};
use query::QueryArgs;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use runtime::config::Connections;
use runtime::database;
use runtime::fold::{Processor, Shop};
use runtime::store::{self, Batch, Committed, Live, Partition, Progress, Statements};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use stack::{Options, Stack};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// All events are said to come from here.
const PARTITION: Partition = Partition { topic: Topic::CatalogEvents, number: 0 };

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    query: QueryArgs,
}

struct TestShop {
    cli: Cli,
    pool: PgPool,
    live: Live,
    redis: redis::aio::MultiplexedConnection,
    stop: CancellationToken,
    folded: u32,
    epoch: i64,
}

/// Gives the test a shop, and removes it, whatever the test comes to.
async fn with_shop(test: impl AsyncFnOnce(&mut TestShop)) {
    let mut shop = TestShop::open().await;
    let outcome = AssertUnwindSafe(test(&mut shop)).catch_unwind().await;
    shop.close().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl TestShop {
    async fn open() -> Self {
        let stack = Stack::up(&Options::from_environment().unwrap(), &stack::Progress::silent()).await.unwrap();
        let addresses = stack.addresses();
        let random = Uuid::now_v7().simple().to_string();
        let cli = Cli::parse_from([
            "test",
            &format!("--kafka={}", addresses.kafka),
            &format!("--postgres={}", addresses.postgres),
            &format!("--redis={}", addresses.redis),
            &format!("--elasticsearch={}", addresses.elasticsearch),
            &format!("--namespace=query_{}", &random[random.len() - 16..]),
        ]);
        database::migrate(&cli.connections).await.unwrap();
        let pool = database::pool(&cli.connections, "test", 4).unwrap();
        let shop = Shop { time_zone: cli.connections.time_zone };
        let live = store::open_live(&pool, &RECOMMENDATION, &shop).await.unwrap();
        store::open_live(&pool, &ES_SYNC, &shop).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let acquired = store::acquire(&mut connection, &live.generation, &[PARTITION]).await.unwrap();
        drop(connection);
        let client = redis::Client::open(cli.connections.redis.as_str()).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        Self { cli, pool, live, redis, stop: CancellationToken::new(), folded: 0, epoch: acquired[0].epoch }
    }

    async fn close(mut self) {
        self.stop.cancel();
        self.pool.close().await;
        let pattern = self.cli.connections.namespace.redis_key("*");
        let keys: Vec<String> = self.redis.keys(pattern).await.unwrap();
        if !keys.is_empty() {
            let _: i64 = self.redis.del(keys).await.unwrap();
        }
        let options = database::options(&self.cli.connections, "test").unwrap().database("postgres");
        let mut maintenance = PgConnection::connect_with(&options).await.unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.cli.connections.namespace.database());
        sqlx::query(AssertSqlSafe(drop)).execute(&mut maintenance).await.unwrap();
    }

    /// Folds an event into recommendation's rows, and takes away the marks a publisher would.
    async fn fold<P: events::Payload + serde::de::DeserializeOwned>(&mut self, data: Value) {
        self.folded += 1;
        let time = Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, self.folded).unwrap();
        let envelope = Envelope::new(format!("event-{}", self.folded), "test", time);
        let event = Event::new(envelope, serde_json::from_value::<P>(data).unwrap());
        let processor: &Processor = &RECOMMENDATION;
        let shop = Shop { time_zone: self.cli.connections.time_zone };
        let statements = Statements::new(processor.tables());
        let to = i64::from(self.folded);
        let progress =
            Progress { partition: PARTITION, epoch: self.epoch, from: to - 1, to, max_event_time: Some(time) };
        let batch = Batch { events: vec![&event], progress: vec![progress], ..Batch::default() };
        let committed = store::commit(&self.pool, processor, &shop, &self.live.generation, &statements, &batch).await;
        assert!(matches!(committed, Ok(Committed::Folded { new_events: 1, .. })), "{committed:?}");
        let settle = format!("DELETE FROM {}.dirty", self.live.generation.schema);
        sqlx::query(AssertSqlSafe(settle)).execute(&self.pool).await.unwrap();
    }

    async fn product(&mut self, product_id: &str, title: &str) {
        let product = json!({
            "product_id": product_id, "title": title, "category": "bags",
            "price": { "amount_minor": 500, "currency": "GBP" },
        });
        self.fold::<ProductUpserted>(product).await;
    }

    async fn order(&mut self, order_id: &str, member_id: &str, products: &[&str]) {
        let item = |product_id: &&str| json!({ "product_id": product_id, "quantity": 1, "total_minor": 500 });
        let items: Vec<Value> = products.iter().map(item).collect();
        let order = json!({ "order_id": order_id, "member_id": member_id, "currency": "GBP", "items": items });
        self.fold::<OrderCompleted>(order).await;
    }

    /// Starts a query service; returns its base URL.
    async fn serve(&self, connections: Connections) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (args, stop) = (self.cli.query.clone(), self.stop.clone());
        tokio::spawn(async move { query::serve(listener, &args, &connections, stop).await.unwrap() });
        base
    }

    fn key(&self, key: &str) -> String {
        self.cli.connections.namespace.redis_key(key)
    }

    async fn publish(&mut self, key: &str, promotion: Uuid, value: Value) {
        let fields = [("promotion", promotion.to_string()), ("value", value.to_string())];
        let _: () = self.redis.hset_multiple(self.key(key), &fields).await.unwrap();
    }
}

struct Got {
    status: StatusCode,
    cache: Option<String>,
    retry_after: Option<String>,
    body: Value,
}

impl Got {
    fn products(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().unwrap_or_else(|| panic!("{}", self.body));
        items.iter().map(|item| item["product"]["product_id"].as_str().unwrap()).collect()
    }
}

async fn get(base: &str, path: &str) -> Got {
    let response = reqwest::get(format!("{base}{path}")).await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, cache, retry_after) = (response.status(), header("x-cache"), header("retry-after"));
    Got { status, cache, retry_after, body: response.json().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_values_and_cached_lists_count_only_as_long_as_they_are_true() {
    with_shop(caches).await;
}

async fn caches(shop: &mut TestShop) {
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
    // What is published answers, if it is of the live promotion.
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
    assert_eq!(first.body["items"][0]["reason"], "often bought with RED TOTE, which you bought");
    assert_eq!(get(&base, list).await.cache.as_deref(), Some("hit"));
    let stale: String = shop.redis.get(shop.key("rec:user:cyd")).await.unwrap();

    // Something the member does makes another list, even if somebody puts the old one back.
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

    // Nobody has heard of this member.
    let stranger = get(&base, "/v1/members/stranger/recommendations?limit=1").await;
    assert_eq!((&stranger.body["basis"], stranger.products()), (&json!("cold-start"), vec!["purse"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_costs_no_wrong_answer() {
    with_shop(servers_away).await;
}

async fn servers_away(shop: &mut TestShop) {
    for (product_id, title) in [("tote", "RED TOTE"), ("purse", "BLUE PURSE")] {
        shop.product(product_id, title).await;
    }
    shop.order("o1", "ann", &["tote", "purse"]).await;
    // Nothing listens at a port that was free a moment ago.
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
