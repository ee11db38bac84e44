//! A dedicated namespace on the real servers, with the demo shop in its topics.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use jangbogo_platform::config::Connections;
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_publish::drop_indexes;
use jangbogo_stack::{Options, Progress, Stack};
use jangbogo_store::generations;
use jangbogo_topology::{Topology, apply};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::process::Command;
use uuid::Uuid;

/// Number of Redis keys removed per command.
const REDIS_KEYS: usize = 5_000;

/// A shop with a namespace of its own.
pub struct Shop {
    pub connections: Connections,
}

impl Shop {
    /// Measures in a shop with a new name, and removes the shop afterwards, also on an error.
    pub async fn with<T>(measure: impl AsyncFnOnce(&Shop) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let random = &Uuid::now_v7().simple().to_string()[24..];
        let shop = Self::named(&format!("bench_{random}")).await?;
        let measured = measure(&shop).await;
        let closed = shop.close().await;
        let measured = measured?;
        closed?;
        Ok(measured)
    }

    /// Starts missing servers and creates the topics.
    pub async fn named(namespace: &str) -> anyhow::Result<Self> {
        let connections = Self::connections(namespace).await?;
        apply(&Topology::embedded()?, &connections).await?;
        Ok(Self { connections })
    }

    /// Starts missing servers. Returns a shop's connections.
    pub async fn connections(namespace: &str) -> anyhow::Result<Connections> {
        let stack = Stack::up(&Options::from_environment()?, &Progress::on_standard_error()).await?;
        let addresses = stack.addresses().clone();
        Ok(Connections {
            kafka: addresses.kafka,
            postgres: addresses.postgres,
            redis: addresses.redis,
            elasticsearch: addresses.elasticsearch,
            namespace: namespace.parse()?,
            time_zone: chrono_tz::UTC,
            embedding_model: None,
            vector_index: VectorIndex::default(),
        })
    }

    /// A command with this shop's connections in its environment.
    pub fn command(&self, program: PathBuf) -> Command {
        let Connections { kafka, postgres, redis, elasticsearch, namespace, time_zone, .. } = &self.connections;
        let mut command = Command::new(program);
        command
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka)
            .env("POSTGRES_URL", postgres)
            .env("REDIS_URL", redis)
            .env("ELASTICSEARCH_URL", elasticsearch)
            .env("JANGBOGO_NAMESPACE", namespace.to_string())
            .env("JANGBOGO_TIME_ZONE", time_zone.name())
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Fills the topics with the shipped demo shop, moved to this year.
    pub async fn import(&self) -> anyhow::Result<()> {
        self.import_with(&[]).await
    }

    /// Fills the topics with the shipped demo shop with its original times, so that the log is always the same.
    pub async fn import_unmoved(&self) -> anyhow::Result<()> {
        self.import_with(&["--no-shift"]).await
    }

    async fn import_with(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(sibling("jangbogo")?);
        let status =
            command.args(["events", "import"]).args(arguments).status().await.context("cannot run jangbogo")?;
        ensure!(status.success(), "jangbogo events import ended with {status}");
        Ok(())
    }

    /// Replaces the database by an empty, migrated one.
    pub async fn empty_database(&self) -> anyhow::Result<()> {
        self.drop_database().await?;
        jangbogo_platform::database::migrate(&self.connections).await.context("cannot create the database")?;
        Ok(())
    }

    /// A connection to the database.
    pub async fn database(&self) -> anyhow::Result<PgConnection> {
        let options = jangbogo_platform::database::options(&self.connections, "bench")?;
        PgConnection::connect_with(&options).await.context("cannot connect to postgres")
    }

    async fn drop_database(&self) -> anyhow::Result<()> {
        let options = jangbogo_platform::database::options(&self.connections, "bench")?.database("postgres");
        let mut maintenance = PgConnection::connect_with(&options).await.context("cannot connect to postgres")?;
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.connections.namespace.database());
        sqlx::query(&sql).execute(&mut maintenance).await.context("cannot drop the database")?;
        // Dirty pages of an earlier measurement must not slow this one down.
        sqlx::query("CHECKPOINT").execute(&mut maintenance).await.context("cannot flush Postgres")?;
        Ok(())
    }

    /// Empties the database and Redis; keeps the log.
    pub async fn empty_stores(&self) -> anyhow::Result<()> {
        self.empty_database().await?;
        self.empty_redis().await
    }

    async fn empty_redis(&self) -> anyhow::Result<()> {
        let client = redis::Client::open(self.connections.redis.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await.context("cannot connect to redis")?;
        let pattern = self.connections.namespace.redis_key("*");
        // Published values, and vectors.
        for database in [0, 1] {
            redis::cmd("SELECT").arg(database).query_async::<()>(&mut connection).await?;
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(REDIS_KEYS);
                let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
                if !keys.is_empty() {
                    redis::cmd("UNLINK").arg(keys).query_async::<i64>(&mut connection).await?;
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }

    async fn drop_indexes(&self) -> anyhow::Result<()> {
        let options = jangbogo_platform::database::options(&self.connections, "bench")?;
        let mut database = match PgConnection::connect_with(&options).await {
            // The database does not exist: nothing was folded.
            Err(error) if jangbogo_platform::database::is_missing(&error) => return Ok(()),
            database => database.context("cannot connect to postgres")?,
        };
        for stored in generations(&mut database, None).await? {
            let Some(processor) = jangbogo_processors::processor(&stored.generation.processor) else { continue };
            drop_indexes(&self.connections, processor, &stored.generation).await?;
        }
        Ok(())
    }

    /// Removes everything that the shop owns on the servers.
    pub async fn close(self) -> anyhow::Result<()> {
        self.drop_indexes().await?;
        self.drop_database().await?;
        self.empty_redis().await?;
        let admin: AdminClient<DefaultClientContext> = self.connections.kafka_client("bench").create()?;
        let topics = Topology::embedded()?.kafka_topics(&self.connections.namespace);
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        admin.delete_topics(&names, &AdminOptions::new()).await.context("cannot delete the topics")?;
        Ok(())
    }
}

/// Builds the programs under test with this program's profile. No package is named, so that cargo resolves the features
/// of dependencies as for `cargo run --bin bench`, and builds them once.
pub async fn build_programs(names: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("build");
    for name in names {
        command.args(["--bin", name]);
    }
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.stdout(Stdio::null()).status().await.context("cannot run cargo")?;
    ensure!(status.success(), "cannot build the programs under test: cargo ended with {status}");
    Ok(())
}

/// Path of another program of the same build.
pub fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe().context("cannot find this program")?.with_file_name(name))
}
