//! The cache that programs share, in a real Redis: waits are real.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use clap::Parser;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelsArgs};
use jangbogo_embedding::{DIMENSIONS, Purpose, text_hash};
use jangbogo_embeddings_client::{EmbedError, Embedder, EmbedderArgs, EmbedderMetrics};
use jangbogo_platform::config::Connections;
use jangbogo_stack::{Options, Progress, Stack};
use jangbogo_telemetry::Metrics;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    embedder: EmbedderArgs,
}

/// A namespace of its own in Redis, and a server that counts its requests.
struct Shop {
    program: Program,
    redis: MultiplexedConnection,
    requests: Arc<AtomicUsize>,
}

impl Shop {
    async fn open() -> Self {
        let stack = Stack::up(&Options::from_environment().unwrap(), &Progress::silent()).await.unwrap();
        let requests: Arc<AtomicUsize> = Arc::default();
        let router = Router::new().route("/v1/embeddings", post(answer)).with_state(Arc::clone(&requests));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("--embeddings-url=http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let random = Uuid::now_v7().simple().to_string();
        let program = Program::parse_from([
            "test",
            &url,
            &format!("--redis={}", stack.addresses().redis),
            &format!("--namespace=embed_{}", &random[random.len() - 16..]),
            "--embeddings-timeout-ms=30000",
        ]);
        let database = format!("{}/1", program.connections.redis.trim_end_matches('/'));
        let redis = redis::Client::open(database).unwrap().get_multiplexed_async_connection().await.unwrap();
        Self { program, redis, requests }
    }

    /// The client of another program, with an empty in-memory cache.
    fn client(&self) -> Client {
        let metrics = EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
        let Program { connections, embedder } = &self.program;
        let models = ModelsArgs::default();
        let embedder =
            Embedder::for_server(embedder, &models, DEFAULT_MODEL, Some(connections), metrics.clone(), None).unwrap();
        Client { embedder, metrics }
    }

    fn key(&self, name: &str) -> String {
        self.program.connections.namespace.redis_key(name)
    }

    fn vector_key(&self, text: &str) -> String {
        self.key(&format!("embed:{}", text_hash(&format!("{DEFAULT_MODEL}\0{text}"))))
    }

    fn request_count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits for a key, and gives its value.
    async fn value<V: redis::FromRedisValue>(&mut self, key: &str) -> V {
        let began = Instant::now();
        loop {
            if let Some(value) = self.redis.get::<_, Option<V>>(key).await.unwrap() {
                return value;
            }
            assert!(began.elapsed() < LONG, "no {key}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn close(mut self) {
        // Dropped clients write their counts.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let keys: Vec<String> = self.redis.keys(self.key("*")).await.unwrap();
        let _: i64 = self.redis.del(keys).await.unwrap();
    }
}

struct Client {
    embedder: Embedder,
    metrics: EmbedderMetrics,
}

impl Client {
    async fn embed_query(&self, text: &str) -> Result<Arc<[f32]>, EmbedError> {
        self.embedder.embed(Purpose::Query, text).await
    }

    fn vectors_from(&self, source: &str) -> u64 {
        self.metrics.embedder_vectors_total.with_label_values(&[source]).get()
    }
}

/// Unit vectors by the lengths of texts; fails for "unavailable".
async fn answer(State(requests): State<Arc<AtomicUsize>>, Json(body): Json<Value>) -> Response {
    requests.fetch_add(1, Ordering::SeqCst);
    let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
    if texts.iter().any(|text| text == "unavailable") {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let vector = |text: &String| {
        let mut vector = vec![0.0; DIMENSIONS];
        vector[text.len()] = 1.0;
        json!({ "embedding": vector })
    };
    Json(json!({ "data": texts.iter().map(vector).collect::<Vec<_>>() })).into_response()
}

/// Tries new clients until one has the vector from Redis, whose look-ups time out on a busy machine.
async fn until_shared(shop: &Shop, text: &str) -> Arc<[f32]> {
    let began = Instant::now();
    loop {
        let client = shop.client();
        let requests = shop.request_count();
        let vector = client.embed_query(text).await.unwrap();
        if client.vectors_from("redis") == 1 {
            assert_eq!(shop.request_count(), requests, "nothing was sent to the server");
            return vector;
        }
        assert!(began.elapsed() < LONG, "never found in redis");
    }
}

#[tokio::test]
async fn vectors_are_shared_by_programs_and_counted() {
    let mut shop = Shop::open().await;
    let first = shop.client().embed_query("bag").await.unwrap();
    let key = shop.vector_key("bag");
    let value: Vec<u8> = shop.value(&key).await;
    let bytes: Vec<u8> = first.iter().flat_map(|component| component.to_le_bytes()).collect();
    assert_eq!(value, bytes);
    let seconds: i64 = shop.redis.ttl(&key).await.unwrap();
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert_eq!(until_shared(&shop, "bag").await, first);

    // An invalid value counts as a miss, and is overwritten.
    let () = shop.redis.set(&key, "short").await.unwrap();
    assert_eq!(shop.client().embed_query("bag").await.unwrap(), first);
    assert_eq!(until_shared(&shop, "bag").await, first);
    for name in ["stats:hits", "stats:misses"] {
        let key = shop.key(name);
        assert!(shop.value::<u64>(&key).await > 0, "{name}");
    }
    shop.close().await;
}

#[tokio::test]
async fn the_last_change_of_the_breaker_is_recorded() {
    let mut shop = Shop::open().await;
    let client = shop.client();
    client.embed_query("unavailable").await.unwrap_err();
    let key = shop.key("cb:state_change:last");
    let change = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let opened = change(shop.value(&key).await);
    assert_eq!((&opened["state"], &opened["model"]), (&json!("open"), &json!(DEFAULT_MODEL)));
    chrono::DateTime::parse_from_rfc3339(opened["at"].as_str().unwrap()).unwrap();

    // A probe finds that the server has recovered.
    let began = Instant::now();
    while change(shop.value(&key).await)["state"] != "closed" {
        assert!(began.elapsed() < LONG);
        let _ = client.embed_query("bag").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shop.close().await;
}

#[tokio::test]
async fn without_redis_the_server_is_used_without_delay() {
    let mut shop = Shop::open().await;
    let _: i64 = shop.redis.incr(shop.key("stats:hits"), 1).await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redis =
        std::mem::replace(&mut shop.program.connections.redis, format!("redis://{}", silent.local_addr().unwrap()));
    let client = shop.client();
    let began = Instant::now();
    // A look-up of 20 ms each would take longer.
    for number in 0..600 {
        client.embed_query(&format!("bag {number}")).await.unwrap();
    }
    assert!(began.elapsed() < LONG / 3, "{:?}", began.elapsed());
    assert_eq!(client.vectors_from("remote"), 600);
    shop.program.connections.redis = redis;
    shop.close().await;
}
