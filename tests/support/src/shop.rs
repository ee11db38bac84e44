//! A shop of its own for each test on the shared servers: topics, database and processes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use jangbogo_events::{Event, Topic};
use jangbogo_fold::{Processor, Target};
use jangbogo_platform::config::Connections;
use jangbogo_processors::PROCESSORS;
use jangbogo_publish as publisher;
use jangbogo_publish::index_name;
use jangbogo_replay::compare::{Bucket, digest};
use jangbogo_stack::{Addresses, Options, Progress, Stack};
use jangbogo_store::{Live, generations, live};
use jangbogo_topology::{Topology, apply};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use ruzstd::decoding::StreamingDecoder;
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// The `jangbogo` command under test: the one that cargo built for the test it runs, else the one beside a test that is
/// run by hand.
pub fn jangbogo() -> Command {
    let beside = || std::env::current_exe().unwrap().parent().unwrap().with_file_name("jangbogo");
    Command::new(std::env::var_os("CARGO_BIN_EXE_jangbogo").map_or_else(beside, PathBuf::from))
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    connections: Connections,
}

/// A namespace on the shared servers, with topics, a database and processes. Its processes end when it is dropped, its
/// data are removed when it is [closed](Self::close).
pub struct Shop {
    pub connections: Connections,
    producer: FutureProducer,
    processes: BTreeMap<String, Child>,
}

impl Shop {
    /// Starts the servers unless they run, and creates an empty shop.
    pub async fn open(name: &str) -> Shop {
        let stack = Stack::up(&Options::from_environment().unwrap(), &Progress::silent()).await.unwrap();
        Self::open_on(stack.addresses(), name).await
    }

    /// Creates an empty shop on these servers.
    pub async fn open_on(addresses: &Addresses, name: &str) -> Shop {
        let random = &Uuid::new_v4().simple().to_string()[..8];
        let Arguments { connections } = Arguments::parse_from([
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
            &format!("t_{name}_{random}"),
        ]);
        jangbogo_platform::database::migrate(&connections).await.unwrap();
        apply(&Topology::embedded().unwrap(), &connections).await.unwrap();
        let producer = connections.kafka_producer("test").create().unwrap();
        Shop { connections, producer, processes: BTreeMap::new() }
    }

    /// The `jangbogo` command for this shop.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = jangbogo();
        command
            .args(arguments)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.connections.kafka)
            .env("POSTGRES_URL", &self.connections.postgres)
            .env("REDIS_URL", &self.connections.redis)
            .env("ELASTICSEARCH_URL", &self.connections.elasticsearch)
            .env("JANGBOGO_NAMESPACE", self.connections.namespace.to_string())
            .env("JANGBOGO_ENDS_WITH_PARENT", "1")
            // Reactors would append events of their own: tests of the fold decide what is in the log.
            .env("JANGBOGO_FOLD_ONLY", "true")
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()));
        command
    }

    /// Runs the `jangbogo` command, which must succeed. Returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a process of the shop: `run <name>` with the arguments.
    pub fn start(&mut self, name: &str, arguments: &[&str]) {
        self.start_member(name, name, arguments);
    }

    /// Starts one of several processes of a processor; `member` is its name in this shop.
    pub fn start_member(&mut self, member: &str, processor: &str, arguments: &[&str]) {
        self.start_member_with(member, processor, arguments, &[]);
    }

    /// As [`Self::start_member`], with environment variables.
    pub fn start_member_with(
        &mut self,
        member: &str,
        processor: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) {
        let mut command = self.command(&["run", processor]);
        command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        self.processes.insert(member.to_owned(), command.spawn().unwrap());
    }

    /// Starts every processor with static group membership: it gets its partitions back after it was killed.
    pub fn start_processors(&mut self) {
        for processor in PROCESSORS {
            self.start_processor(processor.name);
        }
    }

    pub fn start_processor(&mut self, name: &str) {
        self.start(name, &["--instance", "a"]);
    }

    /// Imports a file of orders and waits until Kafka has acknowledged all events.
    pub fn import(&self, file: &str) {
        self.run(&["events", "import", file]);
    }

    /// Starts an import of a file of orders.
    pub fn start_import(&self, file: &str) -> Child {
        let mut command = self.command(&["events", "import", file]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill(&mut self, name: &str) {
        let mut process = self.processes.remove(name).expect("it was started");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Sends a signal by its name: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str, signal: &str) {
        let process = self.processes[name].id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
    }

    pub fn process_id(&self, name: &str) -> u32 {
        self.processes[name].id()
    }

    /// SIGTERM. The process must exit successfully within ten seconds.
    pub fn terminate(&mut self, name: &str) {
        self.signal(name, "TERM");
        let began = Instant::now();
        while !self.has_ended(name) {
            assert!(began.elapsed() < Duration::from_secs(10), "{name} does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut process = self.processes.remove(name).expect("it was started");
        assert!(process.wait().unwrap().success(), "{name} failed");
    }

    /// True when a process has exited.
    pub fn has_ended(&mut self, name: &str) -> bool {
        self.processes.get_mut(name).is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    /// Exit status of a process that has exited; its name may then be used again.
    pub fn take_ended(&mut self, name: &str) -> Option<ExitStatus> {
        let status = self.processes.get_mut(name).expect("it was started").try_wait().unwrap()?;
        self.processes.remove(name);
        Some(status)
    }

    pub async fn produce(&self, events: &[Event]) {
        let deliveries = events.iter().map(|event| {
            let encoded = event.encode().unwrap();
            let headers: Vec<(&str, &[u8])> =
                encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            self.produce_raw(encoded.topic, Some(encoded.key.clone()), headers_of(&headers), encoded.value.clone())
        });
        futures::future::join_all(deliveries).await;
    }

    pub async fn produce_raw(&self, topic: Topic, key: Option<String>, headers: OwnedHeaders, value: Vec<u8>) {
        let topic = self.connections.namespace.topic(topic);
        let mut record = FutureRecord::<String, Vec<u8>>::to(&topic).headers(headers).payload(&value);
        record.key = key.as_ref();
        self.producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error).unwrap();
    }

    pub async fn database(&self) -> PgConnection {
        PgConnection::connect_with(&jangbogo_platform::database::options(&self.connections, "test").unwrap())
            .await
            .unwrap()
    }

    pub async fn live(&self, processor: &Processor) -> Option<Live> {
        live(&mut self.database().await, processor.name).await.unwrap()
    }

    /// The end offset of each partition of a topic.
    pub fn end_offsets(&self, kafka_topic: &str) -> Vec<i64> {
        let consumer: BaseConsumer = self.connections.kafka_client("test").create().unwrap();
        let timeout = Duration::from_secs(10);
        let metadata = consumer.fetch_metadata(Some(kafka_topic), timeout).unwrap();
        let partitions = metadata.topics()[0].partitions();
        let end = |partition: i32| {
            let began = Instant::now();
            loop {
                match consumer.fetch_watermarks(kafka_topic, partition, timeout) {
                    Ok((_, end)) => return end,
                    // A topic that was just created has no partition leaders yet.
                    Err(error) => assert!(began.elapsed() < timeout, "{kafka_topic}/{partition}: {error}"),
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        partitions.iter().map(|partition| end(partition.id())).collect()
    }

    /// Waits until every processor has folded the log to its end and published what changed.
    pub async fn settle(&self) {
        self.settle_within(Duration::from_mins(4)).await;
    }

    pub async fn settle_within(&self, limit: Duration) {
        let started = Instant::now();
        loop {
            let mut unsettled = Vec::new();
            for processor in PROCESSORS {
                unsettled.extend(self.why_unsettled(processor).await);
            }
            if unsettled.is_empty() {
                return;
            }
            assert!(started.elapsed() < limit, "not settled after {limit:?}: {unsettled:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Describes the work that a processor has left: records to fold or keys to publish. None when there is none.
    pub async fn why_unsettled(&self, processor: &Processor) -> Option<String> {
        let Some(live) = self.live(processor).await else { return Some(format!("{}: no generation", processor.name)) };
        let schema = &live.generation.schema;
        let mut database = self.database().await;
        for topic in processor.topics() {
            let ends = self.end_offsets(&self.connections.namespace.topic(topic));
            for (partition, end) in (0_i32..).zip(ends) {
                let sql = format!("SELECT next_offset FROM {schema}.checkpoint WHERE topic = $1 AND partition = $2");
                let folded: Option<i64> = sqlx::query_scalar(&sql)
                    .bind(topic.name())
                    .bind(partition)
                    .fetch_optional(&mut database)
                    .await
                    .unwrap();
                if folded.unwrap_or(0) < end {
                    return Some(format!("{}: {topic}/{partition} at {folded:?} of {end}", processor.name));
                }
            }
        }
        let sql = format!(
            "SELECT (SELECT count(*) FROM {schema}.dirty)
                    + (SELECT sum(cardinality(pending_sweeps)) FROM {schema}.publisher)"
        );
        let backlog: i64 = sqlx::query_scalar(&sql).fetch_one(&mut database).await.unwrap();
        (backlog > 0).then(|| format!("{}: {backlog} to publish", processor.name))
    }

    /// Contents of all stores of the shop, without tombstones and caches.
    pub async fn digest(&self) -> Digest {
        let mut contents = Digest::default();
        for processor in PROCESSORS {
            let live = self.live(processor).await.expect("it has run");
            let mut database = self.database().await;
            for (table, buckets) in digest(&mut database, processor, &live.generation, false).await.unwrap() {
                contents.tables.insert(format!("{}.{table}", processor.name), buckets);
            }
            for view in processor.views() {
                if let Target::Elasticsearch { .. } = view.target {
                    let index = index_name(&self.connections, view.name, &live.generation);
                    contents.documents.extend(self.documents(&index).await);
                }
            }
        }
        contents.redis = self.redis_values().await;
        contents
    }

    /// Waits until the stores hold what is expected. A wiped store is noticed about once a second, so that the shop may
    /// look settled before.
    pub async fn wait_for_digest(&self, expected: &Digest, limit: Duration) {
        let began = Instant::now();
        loop {
            let digest = self.digest().await;
            if digest == *expected {
                return;
            }
            if began.elapsed() > limit {
                digest.assert_equal(expected);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Every document of an index, by id, without tombstones; none where there is no such index.
    pub async fn documents(&self, index: &str) -> BTreeMap<String, Value> {
        let client = reqwest::Client::new();
        let server = &self.connections.elasticsearch;
        let post = async |path: &str, body: Value| -> Value {
            client.post(format!("{server}/{path}")).json(&body).send().await.unwrap().json().await.unwrap()
        };
        client.post(format!("{server}/{index}/_refresh")).send().await.unwrap();
        let query = serde_json::json!({
            "size": 1000,
            "sort": ["_doc"],
            "query": { "bool": { "must_not": { "term": { "tombstone": true } } } },
        });
        let mut documents = BTreeMap::new();
        let mut page = post(&format!("{index}/_search?scroll=1m"), query).await;
        loop {
            if page["status"] == 404 {
                return documents;
            }
            let hits = page["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{page}"));
            let scroll = serde_json::json!({ "scroll_id": page["_scroll_id"] });
            if hits.is_empty() {
                client.delete(format!("{server}/_search/scroll")).json(&scroll).send().await.unwrap();
                return documents;
            }
            documents.extend(hits.iter().map(|hit| (hit["_id"].as_str().unwrap().to_owned(), hit["_source"].clone())));
            page = post("_search/scroll?scroll=1m", scroll).await;
        }
    }

    /// Every published value in Redis, by key without the namespace prefix.
    pub async fn redis_values(&self) -> BTreeMap<String, String> {
        let client = redis::Client::open(self.connections.redis.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let prefix = self.connections.namespace.redis_key("");
        let mut values = BTreeMap::new();
        for key in self.redis_keys().await {
            let name = key.strip_prefix(&prefix).unwrap_or(&key).to_owned();
            let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.unwrap();
            let value: Option<String> = match kind.as_str() {
                "hash" if !name.ends_with(":stamp") => {
                    redis::cmd("HGET").arg(&key).arg("value").query_async(&mut connection).await.unwrap()
                }
                "zset" => {
                    let mut range = redis::cmd("ZRANGE");
                    range.arg(&key).arg(0).arg(-1).arg("WITHSCORES");
                    let members: Vec<(String, f64)> = range.query_async(&mut connection).await.unwrap();
                    Some(format!("{members:?}"))
                }
                _ => None,
            };
            if let Some(value) = value.filter(|value| value != "null" && !name.starts_with("rec:user:")) {
                values.insert(name, value);
            }
        }
        values
    }

    /// Every key of the shop in Redis database 0; vectors are cached in database 1.
    pub async fn redis_keys(&self) -> Vec<String> {
        let client = redis::Client::open(self.connections.redis.as_str()).unwrap();
        self.redis_keys_by(&mut client.get_multiplexed_async_connection().await.unwrap()).await
    }

    /// Every key of the shop in the connection's database.
    async fn redis_keys_by(&self, connection: &mut redis::aio::MultiplexedConnection) -> Vec<String> {
        let pattern = self.connections.namespace.redis_key("*");
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(5000);
            let (next, page): (u64, Vec<String>) = scan.query_async(connection).await.unwrap();
            keys.extend(page);
            if next == 0 {
                return keys;
            }
            cursor = next;
        }
    }

    /// Kills the shop's processes and deletes its indexes, keys, topics and database.
    pub async fn close(mut self) {
        for (_, mut process) in std::mem::take(&mut self.processes) {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        for processor in PROCESSORS {
            for stored in generations(&mut self.database().await, Some(processor.name)).await.unwrap() {
                publisher::drop_indexes(&self.connections, processor, &stored.generation).await.unwrap();
            }
        }
        let client = redis::Client::open(self.connections.redis.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        // 0 holds published values, 1 cached vectors.
        for database in [0, 1] {
            let () = redis::cmd("SELECT").arg(database).query_async(&mut connection).await.unwrap();
            for keys in self.redis_keys_by(&mut connection).await.chunks(1000) {
                let _: i64 = redis::cmd("UNLINK").arg(keys).query_async(&mut connection).await.unwrap();
            }
        }
        let topics: Vec<String> = Topology::embedded()
            .unwrap()
            .kafka_topics(&self.connections.namespace)
            .into_iter()
            .map(|topic| topic.name)
            .collect();
        let admin: rdkafka::admin::AdminClient<_> = self.connections.kafka_client("test").create().unwrap();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin.delete_topics(&names, &rdkafka::admin::AdminOptions::new()).await.unwrap();
        let options = jangbogo_platform::database::options(&self.connections, "test").unwrap().database("postgres");
        let mut database = PgConnection::connect_with(&options).await.unwrap();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.connections.namespace.database());
        sqlx::query(&sql).execute(&mut database).await.unwrap();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // A failed test leaves its data for inspection, but no process.
        for process in self.processes.values_mut() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Contents of all stores of a shop.
#[derive(Debug, Default, PartialEq)]
pub struct Digest {
    pub tables: BTreeMap<String, Vec<Bucket>>,
    pub redis: BTreeMap<String, String>,
    pub documents: BTreeMap<String, Value>,
}

impl Digest {
    /// Panics with the first difference.
    pub fn assert_equal(&self, other: &Digest) {
        assert_eq!(self.tables, other.tables);
        assert_same("Redis", &self.redis, &other.redis);
        assert_same("Elasticsearch", &self.documents, &other.documents);
    }
}

fn assert_same<V: PartialEq + std::fmt::Debug>(store: &str, left: &BTreeMap<String, V>, right: &BTreeMap<String, V>) {
    let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differing: Vec<_> = keys.into_iter().filter(|key| left.get(*key) != right.get(*key)).collect();
    if let Some(key) = differing.first() {
        let (left, right) = (left.get(*key), right.get(*key));
        panic!("{store}: {} keys differ, such as {key}:\n{left:?}\n{right:?}", differing.len());
    }
}

pub fn headers_of(headers: &[(&str, &[u8])]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }))
}

/// Writes the first order lines of the shipped demo shop to `orders.csv`, a file to import.
pub fn demo_lines(directory: &Path, lines: usize) -> PathBuf {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cli/data/online-retail-ii.csv.zst");
    let decoder = StreamingDecoder::new(std::fs::File::open(shop).unwrap()).unwrap();
    let file = directory.join("orders.csv");
    let mut output = BufWriter::new(std::fs::File::create(&file).unwrap());
    for line in BufReader::new(decoder).lines().take(lines + 1) {
        writeln!(output, "{}", line.unwrap()).unwrap();
    }
    output.flush().unwrap();
    file
}
