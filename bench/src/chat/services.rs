//! The processes of a shop: six processors with their reactors, the dispatcher, the gateway and the query service.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_processors::PROCESSORS;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_store::live;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use sqlx::PgConnection;
use tokio::process::Command;

use crate::processes::{Processes, free_address};
use crate::shop::{Shop, sibling};

/// Timeout until a process is ready: the embedder warms a model up.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Timeout until the demo shop is folded, published and embedded.
const SETTLE_LIMIT: Duration = Duration::from_mins(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

pub struct Services {
    processes: Processes,
    /// Base URLs of `/readyz` and `/metrics`.
    admin: Vec<(&'static str, String)>,
    gateway: String,
    query: String,
    client: Client,
}

impl Services {
    /// Starts all processes with these environment variables, and waits until they are ready.
    pub async fn start(shop: &Shop, variables: &[(&str, String)]) -> anyhow::Result<Self> {
        let fetched = shop.command(sibling("jangbogo")?).args(["models", "fetch"]).status().await?;
        ensure!(fetched.success(), "jangbogo models fetch ended with {fetched}");
        let embedder = free_address()?;
        let client = Client::builder().timeout(REQUEST_LIMIT).build()?;
        let mut services = Self {
            processes: Processes::default(),
            admin: Vec::new(),
            gateway: String::new(),
            query: String::new(),
            client,
        };
        for name in PROCESSORS.iter().map(|processor| processor.name).chain(["outbox-dispatcher"]) {
            let address = free_address()?;
            let port = address.rsplit(':').next().unwrap_or_default();
            let mut command = program(shop)?;
            command.args(["run", name, "--admin-port", port]);
            if name != "outbox-dispatcher" {
                command.args(["--instance", "bench"]);
            }
            command.env("EMBEDDER_LISTEN", &embedder).env("EMBEDDINGS_URL", format!("http://{embedder}/v1"));
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            services.processes.start(name, &mut command)?;
            services.admin.push((name, format!("http://{address}")));
        }
        for name in ["gateway", "query"] {
            let address = free_address()?;
            services.processes.start(name, program(shop)?.args(["run", name, "--listen", &address]))?;
            let base = format!("http://{address}");
            services.admin.push((name, base.clone()));
            *if name == "gateway" { &mut services.gateway } else { &mut services.query } = base;
        }
        services.ready().await?;
        Ok(services)
    }

    /// Base URL of the gateway.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Base URL of the query service.
    pub fn query(&self) -> &str {
        &self.query
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        for (name, base) in self.admin.clone() {
            loop {
                self.ensure_running()?;
                let reason = match self.client.get(format!("{base}/readyz")).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                ensure!(started.elapsed() < READY_LIMIT, "{name} is not ready after {READY_LIMIT:?}: {reason}");
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        Ok(())
    }

    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.processes.ensure_running()
    }

    /// Waits until every product has its vector, and the log is folded and published.
    pub async fn settle(&mut self, shop: &Shop) -> anyhow::Result<()> {
        let started = Instant::now();
        while !(self.is_settled().await && products_without_vector(shop).await? == 0 && self.is_settled().await) {
            self.ensure_running()?;
            ensure!(
                started.elapsed() < SETTLE_LIMIT,
                "the demo shop is not folded and embedded after {SETTLE_LIMIT:?}"
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    async fn is_settled(&self) -> bool {
        let Ok(answer) = self.client.get(format!("{}/v1/pipeline", self.query)).send().await else { return false };
        let state: Value = answer.json().await.unwrap_or_default();
        state["settled"] == true
    }

    /// Sends a command to the gateway, which must accept it.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        post(&self.client, &self.gateway, path, body).await
    }

    /// Number of rebalances of the processors' groups.
    pub async fn rebalances(&self) -> anyhow::Result<u64> {
        let mut count = 0;
        for (_, base) in self.admin.iter().filter(|(name, _)| PROCESSORS.iter().any(|one| one.name == *name)) {
            let metrics = self.client.get(format!("{base}/metrics")).send().await?.text().await?;
            let counted = metrics.lines().filter(|line| !line.starts_with('#') && line.contains("rebalances_total"));
            for value in counted.filter_map(|line| line.rsplit(' ').next()) {
                count += value.parse::<u64>().with_context(|| format!("{value:?} is not a count"))?;
            }
        }
        Ok(count)
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.processes.stop().await
    }
}

/// A command that ends with this process, even if that is killed.
fn program(shop: &Shop) -> anyhow::Result<Command> {
    let mut command = shop.command(sibling("jangbogo")?);
    command.env("JANGBOGO_ENDS_WITH_PARENT", "1");
    Ok(command)
}

/// Sends a command that must be accepted. Returns the response.
pub async fn post(client: &Client, gateway: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = client.post(format!("{gateway}{path}")).json(body).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == StatusCode::ACCEPTED, "the gateway answered POST {path} with {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Name of the schema with a processor's live rows.
pub async fn live_schema(database: &mut PgConnection, processor: &str) -> anyhow::Result<String> {
    let live = live(database, processor).await?;
    Ok(live.with_context(|| format!("{processor} has no generation"))?.generation.schema)
}

async fn products_without_vector(shop: &Shop) -> anyhow::Result<i64> {
    let mut database = shop.database().await?;
    let schema = live_schema(&mut database, RECOMMENDATION.name).await?;
    let sql = format!(
        "SELECT count(*) FROM {schema}.product WHERE title IS NOT NULL
         AND product_id NOT IN (SELECT product_id FROM {schema}.product_vector)"
    );
    Ok(sqlx::query_scalar(&sql).fetch_one(&mut database).await?)
}

/// Fails unless the rows hold exactly one intent, recommendation and reply for each message.
pub async fn ensure_rows_each_once(shop: &Shop, messages: usize) -> anyhow::Result<()> {
    let mut database = shop.database().await?;
    let schema = live_schema(&mut database, ASSISTANT.name).await?;
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE said = 2 AND intents = 1 AND recommendations = 1)
         FROM (SELECT count(*) FILTER (WHERE kind = 'message') AS said,
                      count(*) FILTER (WHERE kind = 'intent') AS intents,
                      count(*) FILTER (WHERE kind = 'recommendation') AS recommendations
               FROM {schema}.conversation_entry GROUP BY message_id) AS turns"
    );
    let (turns, once): (i64, i64) = sqlx::query_as(&sql).fetch_one(&mut database).await?;
    let expected = i64::try_from(messages)?;
    ensure!(
        turns == expected && once == expected,
        "{messages} messages were accepted; rows hold {turns}, {once} of them with one intent, one recommendation and one reply"
    );
    Ok(())
}
