//! A shop for one test, and its query service.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{TimeZone as _, Utc};
use clap::Parser as _;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{Envelope, Event, OrderCompleted, ProductUpserted, Topic};
use jangbogo_fold::Processor;
use jangbogo_log::Partition;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_publish as publisher;
use jangbogo_publish::{PublisherContext, Stores};
use jangbogo_query::QueryArgs;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use jangbogo_shared_projections::conversation::MESSAGES_VIEW;
use jangbogo_stack::{Options, Stack};
use jangbogo_store::{self as store, fold_config};
use jangbogo_store::{Batch, Checkpoint, Committed, Generation, Live, Progress, Statements};
use jangbogo_telemetry::Telemetry;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Partition recorded for events that were never in Kafka.
const PARTITION: Partition = Partition { topic: Topic::CatalogEvents, number: 0 };
/// Timeout of indexing: a publisher waits until another one's session has ended.
const INDEXED_WITHIN: Duration = Duration::from_secs(30);

#[derive(clap::Parser)]
pub struct Cli {
    #[command(flatten)]
    pub connections: Connections,
    #[command(flatten)]
    pub query: QueryArgs,
}

/// Namespaced rows, keys and indexes on the real servers; removed when dropped.
pub struct Shop {
    pub cli: Cli,
    pub pool: PgPool,
    pub live: Live,
    pub redis: redis::aio::MultiplexedConnection,
    pub stop: CancellationToken,
    /// Generation that events are folded into.
    pub generation: Generation,
    /// Year of the events' times.
    pub year: i32,
    pub folded: u32,
    checkpoints: BTreeMap<Partition, Checkpoint>,
    /// Generations that have search indexes.
    indexed: Vec<Generation>,
}

/// Runs a future to its end within `drop`, on a thread of its own: a worker of the runtime must not block on a future.
pub fn finish(future: impl Future<Output = ()> + Send) {
    let runtime = Handle::current();
    let outcome = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join());
    if let Err(panic) = outcome
        && !std::thread::panicking()
    {
        std::panic::resume_unwind(panic);
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        finish(self.remove());
    }
}

impl Shop {
    pub async fn start() -> Self {
        let stack =
            Stack::up(&Options::from_environment().unwrap(), &jangbogo_stack::Progress::silent()).await.unwrap();
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
        let settings = fold_config(&cli.connections);
        let live = store::open_live(&pool, &RECOMMENDATION, &settings, cli.connections.vector_index).await.unwrap();
        store::open_live(&pool, &ES_SYNC, &settings, cli.connections.vector_index).await.unwrap();
        let client = redis::Client::open(cli.connections.redis.as_str()).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        let generation = live.generation.clone();
        let stop = CancellationToken::new();
        let checkpoints = BTreeMap::new();
        Self { cli, pool, live, redis, stop, generation, year: 2026, folded: 0, checkpoints, indexed: Vec::new() }
    }

    /// Folds later events into this generation, with times in this year.
    pub fn fold_into(&mut self, generation: Generation, year: i32) {
        (self.generation, self.year, self.folded, self.checkpoints) = (generation, year, 0, BTreeMap::new());
    }

    /// Folds later events into this generation, which holds what the one before it does.
    pub async fn adopt(&mut self, generation: Generation) {
        let mut connection = self.pool.acquire().await.unwrap();
        let partitions: Vec<Partition> = self.checkpoints.keys().copied().collect();
        let acquired = store::acquire(&mut connection, &generation, &partitions).await.unwrap();
        self.checkpoints = acquired.into_iter().map(|checkpoint| (checkpoint.partition, checkpoint)).collect();
        self.generation = generation;
    }

    /// Folds later events into the live generation of this processor.
    pub async fn fold_by(&mut self, processor: &Processor) {
        let config = fold_config(&self.cli.connections);
        let live = store::open_live(&self.pool, processor, &config, self.cli.connections.vector_index).await.unwrap();
        self.fold_into(live.generation, 2026);
    }

    /// Creates an empty generation of a processor that is not live.
    pub async fn generation(&self, processor: &Processor, state: &str) -> Generation {
        let config = fold_config(&self.cli.connections);
        let live = store::open_live(&self.pool, processor, &config, self.cli.connections.vector_index).await.unwrap();
        let sql = "DELETE FROM live_generation WHERE processor = $1";
        sqlx::query(sql).bind(processor.name).execute(&self.pool).await.unwrap();
        let other = store::open_live(&self.pool, processor, &config, self.cli.connections.vector_index)
            .await
            .unwrap()
            .generation;
        let sql = "UPDATE live_generation SET generation = $2, promotion = $3 WHERE processor = $1";
        let restore = sqlx::query(sql).bind(processor.name).bind(live.generation.id).bind(live.promotion);
        restore.execute(&self.pool).await.unwrap();
        self.set(&other, "state", state).await;
        other
    }

    /// Makes a generation live, as a cut-over does.
    pub async fn switch_to(&self, generation: &Generation) {
        let sql = "UPDATE live_generation SET generation = $2, promotion = $3 WHERE processor = $1";
        let switch = sqlx::query(sql).bind(&generation.processor).bind(generation.id).bind(Uuid::now_v7());
        switch.execute(&self.pool).await.unwrap();
    }

    /// Changes the promotion of recommendation's generation.
    pub async fn promote(&self, promotion: Uuid) {
        let sql = "UPDATE live_generation SET promotion = $2 WHERE processor = $1";
        sqlx::query(sql).bind(RECOMMENDATION.name).bind(promotion).execute(&self.pool).await.unwrap();
    }

    /// Changes a column of a generation's row.
    pub async fn set(&self, generation: &Generation, column: &str, value: &str) {
        let sql = format!("UPDATE generation SET {column} = $2 WHERE generation = $1");
        sqlx::query(&sql).bind(generation.id).bind(value).execute(&self.pool).await.unwrap();
    }

    async fn remove(&mut self) {
        self.stop.cancel();
        for generation in &self.indexed {
            publisher::drop_indexes(&self.cli.connections, &ES_SYNC, generation).await.unwrap();
        }
        self.pool.close().await;
        let pattern = self.cli.connections.namespace.redis_key("*");
        // Published values, and vectors.
        for database in [0, 1] {
            let () = redis::cmd("SELECT").arg(database).query_async(&mut self.redis).await.unwrap();
            let keys: Vec<String> = self.redis.keys(&pattern).await.unwrap();
            if !keys.is_empty() {
                let _: i64 = self.redis.del(keys).await.unwrap();
            }
        }
        self.drop_database().await;
    }

    async fn drop_database(&self) -> PgConnection {
        let options = database::options(&self.cli.connections, "test").unwrap().database("postgres");
        let mut maintenance = PgConnection::connect_with(&options).await.unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.cli.connections.namespace.database());
        sqlx::query(&drop).execute(&mut maintenance).await.unwrap();
        maintenance
    }

    /// Replaces the database by one to which no migration was applied; returns a connection to it.
    pub async fn wipe_database(&mut self) -> PgConnection {
        let create = format!(
            "CREATE DATABASE {} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0",
            self.cli.connections.namespace.database()
        );
        sqlx::query(&create).execute(&mut self.drop_database().await).await.unwrap();
        // The connections of the old one are dead.
        self.pool = database::pool(&self.cli.connections, "test", 4).unwrap();
        PgConnection::connect_with(&database::options(&self.cli.connections, "test").unwrap()).await.unwrap()
    }

    /// Folds an event that was never in Kafka.
    pub async fn fold<P: jangbogo_events::Payload + serde::de::DeserializeOwned>(&mut self, data: Value) {
        self.folded += 1;
        let time = Utc.with_ymd_and_hms(self.year, 3, 1, 12, 0, self.folded).unwrap();
        let envelope = Envelope::new(format!("event-{}", self.folded), "test", time);
        let event = Event::new(envelope, serde_json::from_value::<P>(data).unwrap());
        assert_eq!(self.commit(&event, PARTITION, i64::from(self.folded) - 1).await, 1);
    }

    /// Folds the record at this offset and deletes the stale marks, as a publisher would; returns the number of new
    /// events.
    pub async fn commit(&mut self, event: &Event, partition: Partition, offset: i64) -> usize {
        let processor = jangbogo_processors::processor(&self.generation.processor).unwrap();
        let checkpoint = if let Some(checkpoint) = self.checkpoints.get(&partition) {
            *checkpoint
        } else {
            let mut connection = self.pool.acquire().await.unwrap();
            store::acquire(&mut connection, &self.generation, &[partition]).await.unwrap()[0]
        };
        let (epoch, from, to) = (checkpoint.epoch, checkpoint.next_offset, offset + 1);
        let progress = Progress { partition, epoch, from, to, max_event_time: Some(event.envelope.time) };
        let batch = Batch { events: vec![event], progress: vec![progress], ..Batch::default() };
        let config = fold_config(&self.cli.connections);
        let statements = Statements::new(processor.tables());
        let mut connection = self.pool.acquire().await.unwrap();
        let committed = store::commit(&mut connection, processor, &config, &self.generation, &statements, &batch).await;
        let Ok(Committed::Folded { new_events, .. }) = committed else { panic!("{committed:?}") };
        self.checkpoints.insert(partition, Checkpoint { next_offset: to, ..checkpoint });
        let settle = format!("DELETE FROM {}.dirty", self.generation.schema);
        sqlx::query(&settle).execute(&self.pool).await.unwrap();
        new_events
    }

    /// Publishes everything folded into a generation of es-sync to its search indexes.
    pub async fn index(&mut self) {
        let pending = format!(
            "UPDATE {}.publisher SET pending_sweeps = '{{{PRODUCTS_VIEW},{MESSAGES_VIEW}}}'",
            self.generation.schema
        );
        sqlx::query(&pending).execute(&self.pool).await.unwrap();
        let telemetry = Telemetry::new().unwrap();
        let (_sender, live) =
            watch::channel(Live { generation: self.generation.clone(), promotion: self.live.promotion });
        let context = PublisherContext {
            connections: self.cli.connections.clone(),
            processor: &ES_SYNC,
            live,
            stores: Stores::Search,
            pool: self.pool.clone(),
            metrics: telemetry.metrics.processor(ES_SYNC.name).unwrap(),
            redis_check: telemetry.readiness.check("redis"),
            search_check: telemetry.readiness.check("elasticsearch"),
        };
        let stop = CancellationToken::new();
        let publishing = tokio::spawn(publisher::run(context, stop.clone()));
        self.indexed.push(self.generation.clone());
        let deadline = Instant::now() + INDEXED_WITHIN;
        loop {
            let mut connection = self.pool.acquire().await.unwrap();
            if store::search_backlog(&mut connection, &self.generation).await.unwrap() == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "not all is published");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.cancel();
        publishing.await.unwrap();
        publisher::refresh_indexes(&self.cli.connections, &ES_SYNC, &self.generation).await.unwrap();
    }

    pub async fn product(&mut self, product_id: &str, title: &str) {
        let product = json!({
            "product_id": product_id, "title": title, "category": "bags",
            "price": { "amount_minor": 500, "currency": "GBP" },
        });
        self.fold::<ProductUpserted>(product).await;
    }

    pub async fn order(&mut self, order_id: &str, member_id: &str, products: &[&str]) {
        let item = |product_id: &&str| json!({ "product_id": product_id, "quantity": 1, "total_minor": 500 });
        let items: Vec<Value> = products.iter().map(item).collect();
        let order = json!({ "order_id": order_id, "member_id": member_id, "currency": "GBP", "items": items });
        self.fold::<OrderCompleted>(order).await;
    }

    /// Starts a query service; returns its base URL.
    pub async fn serve(&self, connections: Connections) -> String {
        self.serve_with(connections, self.cli.query.clone()).await
    }

    /// As [`Self::serve`], with other settings.
    pub async fn serve_with(&self, connections: Connections, args: QueryArgs) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = self.stop.clone();
        tokio::spawn(async move { jangbogo_query::serve(listener, &args, &connections, stop).await.unwrap() });
        base
    }

    pub fn key(&self, key: &str) -> String {
        self.cli.connections.namespace.redis_key(key)
    }

    pub async fn publish(&mut self, key: &str, promotion: Uuid, value: Value) {
        let fields = [("promotion", promotion.to_string()), ("value", value.to_string())];
        let _: () = self.redis.hset_multiple(self.key(key), &fields).await.unwrap();
    }
}

pub struct Response {
    pub status: StatusCode,
    pub cache: Option<String>,
    pub retry_after: Option<String>,
    /// Header `projection-generations`.
    pub generations: Option<String>,
    pub body: Value,
}

impl Response {
    pub fn products(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().unwrap_or_else(|| panic!("{}", self.body));
        items.iter().map(|item| item["product"]["product_id"].as_str().unwrap()).collect()
    }
}

pub async fn get(base: &str, path: &str) -> Response {
    let response = reqwest::get(format!("{base}{path}")).await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, cache, retry_after) = (response.status(), header("x-cache"), header("retry-after"));
    let generations = header("projection-generations");
    Response { status, cache, retry_after, generations, body: response.json().await.unwrap() }
}
