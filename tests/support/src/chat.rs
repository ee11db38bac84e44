//! A shop that answers messages: every processor with its reactors, the outbox dispatcher, the gateway and the query
//! service.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use jangbogo_processors::PROCESSORS;
use jangbogo_recommendation_fold::RECOMMENDATION;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Shop;

/// Limit until a process is ready: the embedder warms up a model.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Limit until every product has its vector.
const VECTORS_LIMIT: Duration = Duration::from_mins(10);

/// A shop with running services.
pub struct ChatShop {
    pub shop: Shop,
    /// Base URL of the gateway.
    pub gateway: String,
    /// Base URL of the query service.
    pub query: String,
    /// Base URL of the embedder's service.
    pub embedder: String,
    pub client: reqwest::Client,
    /// Environment variables of processors besides the servers' addresses.
    variables: Vec<(String, String)>,
    /// Admin address of each processor, by name.
    admin: BTreeMap<String, String>,
}

/// The events that followed from a message: their data.
#[derive(Debug)]
pub struct Turn {
    pub intent: Value,
    pub recommendation: Value,
    pub reply: Value,
}

impl ChatShop {
    /// Creates an empty shop and starts all processes; processors get these environment variables (`OPENAI_BASE_URL`,
    /// for example).
    pub async fn open(name: &str, variables: &[(&str, &str)]) -> Self {
        let shop = Shop::open(name).await;
        shop.run(&["models", "fetch"]);
        let [gateway, query, embedder] = [(); 3].map(|()| free_address());
        let mut all = vec![
            ("JANGBOGO_FOLD_ONLY".to_owned(), "false".to_owned()),
            ("EMBEDDER_LISTEN".to_owned(), embedder.clone()),
            ("EMBEDDINGS_URL".to_owned(), format!("http://{embedder}/v1")),
        ];
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
        let mut chat = Self {
            shop,
            gateway: format!("http://{gateway}"),
            query: format!("http://{query}"),
            embedder: format!("http://{embedder}"),
            client,
            variables: all,
            admin: BTreeMap::new(),
        };
        for processor in PROCESSORS {
            chat.start_processor(processor.name);
        }
        chat.shop.start("outbox-dispatcher", &["--admin-port", "0"]);
        chat.shop.start("gateway", &["--listen", &gateway]);
        let embeddings = format!("http://{embedder}/v1");
        chat.shop.start_member_with("query", "query", &["--listen", &query], &[("EMBEDDINGS_URL", &embeddings)]);
        for base in [&chat.gateway, &chat.query] {
            chat.wait_until_ready(base).await;
        }
        chat
    }

    /// Starts a processor with its reactors.
    pub fn start_processor(&mut self, name: &str) {
        self.start_processor_with(name, &[]);
    }

    /// As [`Self::start_processor`], with further environment variables.
    pub fn start_processor_with(&mut self, name: &str, further: &[(&str, &str)]) {
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<(&str, &str)> = variables.chain(further.iter().copied()).collect();
        let address = free_address();
        let port = address.rsplit(':').next().unwrap();
        self.shop.start_member_with(name, name, &["--instance", "a", "--admin-port", port], &variables);
        self.admin.insert(name.to_owned(), address);
    }

    /// Value of a processor's metric, named without the prefix `jangbogo_` and with its labels, if any; 0 where it is
    /// absent.
    pub async fn metric(&self, processor: &str, metric: &str) -> f64 {
        let answer = self.client.get(format!("http://{}/metrics", self.admin[processor])).send().await.unwrap();
        let metrics = answer.text().await.unwrap();
        let value =
            metrics.lines().find_map(|line| line.strip_prefix("jangbogo_")?.strip_prefix(metric)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    async fn wait_until_ready(&self, base: &str) {
        let started = Instant::now();
        loop {
            let reason = match self.client.get(format!("{base}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            assert!(started.elapsed() < READY_LIMIT, "{base} is not ready after {READY_LIMIT:?}: {reason}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Imports a file of orders, then [`Self::settle`].
    pub async fn import(&self, file: &Path) {
        self.shop.import(file.to_str().unwrap());
        self.settle().await;
    }

    /// Waits until the log is folded and published and every product has its vector.
    pub async fn settle(&self) {
        self.shop.settle().await;
        let started = Instant::now();
        while self.products_without_vector().await > 0 {
            assert!(started.elapsed() < VECTORS_LIMIT, "products without vectors after {VECTORS_LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.shop.settle().await;
    }

    async fn products_without_vector(&self) -> i64 {
        let live = self.shop.live(&RECOMMENDATION).await.unwrap();
        let schema = &live.generation.schema;
        let sql = format!(
            "SELECT count(*) FROM {schema}.product WHERE title IS NOT NULL
             AND product_id NOT IN (SELECT product_id FROM {schema}.product_vector)"
        );
        sqlx::query_scalar(&sql).fetch_one(&mut self.shop.database().await).await.unwrap()
    }

    /// Posts a command to the gateway, which must accept it (202).
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.client.post(format!("{}{path}", self.gateway)).json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "POST {path} {body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Reads from the query service; none for 404.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("{}{path}", self.query)).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        if status == StatusCode::NOT_FOUND {
            return None;
        }
        assert_eq!(status, StatusCode::OK, "GET {path}: {text}");
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Creates a conversation of a member.
    pub async fn open_conversation(&self, member: &str) -> Uuid {
        id(&self.post("/v1/conversations", &json!({ "member_id": member })).await["conversation_id"])
    }

    /// Sends a message and returns its id.
    pub async fn say(&self, conversation: Uuid, content: &str) -> Uuid {
        let path = format!("/v1/conversations/{conversation}/messages");
        id(&self.post(&path, &json!({ "content": content })).await["message_id"])
    }

    /// All entries of a conversation, the oldest first.
    pub async fn entries(&self, conversation: Uuid) -> Vec<Value> {
        let mut entries = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/conversations/{conversation}/entries?limit=100{after}");
            // A new conversation may not be folded yet.
            let Some(mut page) = self.get(&path).await else { return entries };
            entries.append(page["entries"].as_array_mut().unwrap());
            let Some(next) = page["next"].as_str() else { return entries };
            after = format!("&after={next}");
        }
    }

    /// Waits until a message is answered.
    pub async fn wait_for_reply(&self, conversation: Uuid, message: Uuid, limit: Duration) -> Turn {
        let started = Instant::now();
        loop {
            let entries = self.entries(conversation).await;
            let data = |kind: &str| {
                let is_of_message = |entry: &&Value| entry["kind"] == kind && entry["message_id"] == json!(message);
                let mut data = entries.iter().filter(is_of_message).map(|entry| &entry["data"]);
                data.find(|data| kind != "message" || data["role"] == "ai").cloned()
            };
            if let (Some(intent), Some(recommendation), Some(reply)) =
                (data("intent"), data("recommendation"), data("message"))
            {
                return Turn { intent, recommendation, reply };
            }
            assert!(started.elapsed() < limit, "no answer to {message} in {conversation} after {limit:?}: {entries:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn close(self) {
        self.shop.close().await;
    }
}

fn id(value: &Value) -> Uuid {
    serde_json::from_value(value.clone()).unwrap()
}

/// A loopback address with a free port.
fn free_address() -> String {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string()
}
