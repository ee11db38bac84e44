//! A shop for one test, on the real servers.
#![allow(dead_code, reason = "each test file uses its part of the harness")]

pub mod conversation;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser as _;
use futures::FutureExt as _;
use jangbogo_events::Topic;
use jangbogo_gateway::GatewayArgs;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_stack::{Options, Progress, Stack};
use jangbogo_topology::Topology;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::{Client, Response};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The topics that ingress writes.
const TOPICS: [Topic; 7] = [
    Topic::CatalogEvents,
    Topic::OrderCompleted,
    Topic::ProductViewed,
    Topic::UserBehavior,
    Topic::ConversationEvents,
    Topic::ConversationMessageCreated,
    Topic::PreferenceEvents,
];

#[derive(clap::Parser)]
struct ConnectionsCli {
    #[command(flatten)]
    connections: Connections,
}

pub struct Shop {
    pub connections: Connections,
    pub pool: PgPool,
    stop: CancellationToken,
}

/// A record of the log.
#[derive(Debug)]
pub struct Sent {
    pub topic: Topic,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub data: Value,
}

impl Sent {
    pub fn id(&self) -> &str {
        &self.headers["ce_id"]
    }

    pub fn time(&self) -> &str {
        &self.headers["ce_time"]
    }
}

/// Runs a test with a shop that has a database and, if requested, topics; removes both, also when the test panics.
pub async fn with_shop<Test, Outcome>(topics: bool, test: Test)
where
    Test: FnOnce(std::sync::Arc<Shop>) -> Outcome,
    Outcome: Future<Output = ()>,
{
    let shop = std::sync::Arc::new(Shop::open(topics).await);
    let outcome = AssertUnwindSafe(test(shop.clone())).catch_unwind().await;
    shop.stop.cancel();
    shop.pool.close().await;
    shop.remove(topics).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Shop {
    async fn open(topics: bool) -> Self {
        let stack = Stack::up(&Options::from_environment().unwrap(), &Progress::silent()).await.unwrap();
        let addresses = stack.addresses();
        let random = Uuid::now_v7().simple().to_string();
        let namespace = format!("gw_{}", &random[random.len() - 16..]);
        let cli = ConnectionsCli::parse_from([
            "test",
            "--kafka",
            &addresses.kafka,
            "--postgres",
            &addresses.postgres,
            "--redis",
            &addresses.redis,
            "--elasticsearch",
            &addresses.elasticsearch,
            "--namespace",
            &namespace,
        ]);
        let connections = cli.connections;
        database::migrate(&connections).await.unwrap();
        if topics {
            jangbogo_topology::apply(&Topology::embedded().unwrap(), &connections).await.unwrap();
        }
        let pool = database::pool(&connections, "test", 20).unwrap();
        Self { connections, pool, stop: CancellationToken::new() }
    }

    /// Drops the database and closes all connections to it.
    pub async fn drop_database(&self) {
        let options = database::options(&self.connections, "test").unwrap().database("postgres");
        let mut maintenance = PgConnection::connect_with(&options).await.unwrap();
        let name = self.connections.namespace.database();
        let drop = &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        sqlx::query(drop).execute(&mut maintenance).await.unwrap();
    }

    async fn remove(&self, topics: bool) {
        self.drop_database().await;
        if topics {
            let namespace = &self.connections.namespace;
            let names: Vec<String> =
                Topology::embedded().unwrap().kafka_topics(namespace).into_iter().map(|topic| topic.name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let admin: AdminClient<DefaultClientContext> = self.connections.kafka_client("test").create().unwrap();
            admin.delete_topics(&names, &AdminOptions::new()).await.unwrap();
        }
    }

    /// Starts a gateway; returns its base URL.
    pub async fn gateway(&self) -> String {
        self.gateway_of(&self.connections, &["gateway"]).await
    }

    pub async fn gateway_of(&self, connections: &Connections, arguments: &[&str]) -> String {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: GatewayArgs,
        }
        let args = Cli::parse_from(arguments).args;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (connections, stop) = (connections.clone(), self.stop.clone());
        tokio::spawn(async move { jangbogo_gateway::serve(listener, &args, &connections, stop).await.unwrap() });
        format!("http://{address}")
    }

    /// Starts a dispatcher process.
    pub fn dispatcher(&self) -> Dispatcher {
        Dispatcher::start(&self.connections)
    }

    pub async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(&format!("SELECT count(*) FROM {table}")).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until the outbox is empty; returns how long that took.
    pub async fn drained(&self, limit: Duration) -> Duration {
        let began = Instant::now();
        while self.count("outbox").await > 0 {
            assert!(began.elapsed() < limit, "{} rows are still in the outbox", self.count("outbox").await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    /// Lowers the broker's limit of a topic's record batches.
    pub async fn limit_topic(&self, topic: &str, bytes: u32) {
        let admin: AdminClient<DefaultClientContext> = self.connections.kafka_client("test").create().unwrap();
        let bytes = bytes.to_string();
        let limit = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
        admin.alter_configs([&limit], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    }

    /// All records of the topics, each partition in order.
    pub async fn log(&self) -> Vec<Sent> {
        let connections = self.connections.clone();
        tokio::task::spawn_blocking(move || read_log(&connections)).await.unwrap()
    }

    /// The holder of the lease according to Redis, and according to Postgres.
    pub async fn holder(&self) -> (Option<String>, Option<String>) {
        let client = redis::Client::open(self.connections.redis.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let key = self.connections.namespace.redis_key("outbox:dispatcher:lock");
        let shown: Option<String> = redis::cmd("GET").arg(key).query_async(&mut connection).await.unwrap();
        let known = sqlx::query_scalar("SELECT holder FROM lease").fetch_optional(&self.pool).await.unwrap();
        (shown, known)
    }
}

fn read_log(connections: &Connections) -> Vec<Sent> {
    let timeout = Duration::from_secs(10);
    let mut config = connections.kafka_client("test");
    config.set("group.id", "none").set("enable.auto.commit", "false").set("enable.partition.eof", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut expected = 0;
    for topic in TOPICS {
        let name = connections.namespace.topic(topic);
        let metadata = consumer.fetch_metadata(Some(&name), timeout).unwrap();
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(&name, partition.id(), timeout).unwrap();
            expected += usize::try_from(high - low).unwrap();
            assignment.add_partition_offset(&name, partition.id(), Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();
    let mut sent = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while sent.len() < expected {
        assert!(Instant::now() < deadline, "read {} of {expected} records", sent.len());
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().unwrap().iter();
        sent.push(Sent {
            topic: connections.namespace.topic_of(message.topic()).unwrap(),
            key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
            headers: headers
                .map(|header| (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap()))
                .collect(),
            data: serde_json::from_slice(message.payload().unwrap()).unwrap(),
        });
    }
    sent
}

/// A dispatcher's process; killed when dropped.
pub struct Dispatcher {
    child: Child,
    port: u16,
}

impl Dispatcher {
    pub fn start(connections: &Connections) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_outbox-dispatcher"))
            .env("KAFKA_BOOTSTRAP_SERVERS", &connections.kafka)
            .env("POSTGRES_URL", &connections.postgres)
            .env("REDIS_URL", &connections.redis)
            .env("JANGBOGO_NAMESPACE", connections.namespace.to_string())
            .args(["--admin-port", &port.to_string()])
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit status and how long it took.
    pub fn terminate(&mut self) -> (std::process::ExitStatus, Duration) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        (self.child.wait().unwrap(), began.elapsed())
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        match Client::new().get(url).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap()),
            Err(_) => (0, String::new()),
        }
    }

    /// Waits until `/readyz` answers with this status.
    pub async fn ready_status(&self, status: u16, limit: Duration) {
        let began = Instant::now();
        loop {
            let (found, body) = self.get("/readyz").await;
            if found == status {
                return;
            }
            assert!(began.elapsed() < limit, "/readyz is {found}: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a metric has this value.
    pub async fn metric_becomes(&self, name: &str, value: i64, limit: Duration) {
        let began = Instant::now();
        loop {
            let found = self.metric(name).await;
            if found == value {
                return;
            }
            assert!(began.elapsed() < limit, "{name} is {found}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The value of a metric without labels, its fraction cut off.
    pub async fn metric(&self, name: &str) -> i64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default().to_owned();
        line.rsplit([' ']).next().unwrap().split('.').next().unwrap().parse().unwrap()
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// POSTs a JSON body.
pub async fn post(url: String, body: impl Into<reqwest::Body>) -> Response {
    Client::new().post(url).header("content-type", "application/json").body(body).send().await.unwrap()
}

/// The status and JSON body of an answer; an error must be a problem.
pub async fn answer(response: Response) -> (u16, Value) {
    let status = response.status();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let expected = if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(media_type, expected, "{status}");
    let body: Value = response.json().await.unwrap();
    if !status.is_success() {
        assert_eq!(body["status"], status.as_u16());
        assert!(body["instance"].as_str().unwrap().starts_with("urn:jangbogo:request:"), "{body}");
    }
    (status.as_u16(), body)
}
