//! The settings every program of the pipeline shares. Each is a flag and an environment variable.

use chrono_tz::Tz;
use clap::Args;
use deadpool_redis::{Manager, Pool, Runtime};
use jangbogo_fold::FoldConfig;
use rdkafka::ClientConfig;
use redis::{ErrorKind, IntoConnectionInfo as _, RedisError};

use crate::namespace::Namespace;
use crate::vector_index::VectorIndex;

/// Where the servers are, and whose data it is.
#[derive(Args, Clone, Debug)]
pub struct Connections {
    /// Kafka's bootstrap servers
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092", global = true)]
    pub kafka: String,
    /// Postgres, without a database: postgres://user@host:port
    #[arg(
        long,
        env = "POSTGRES_URL",
        default_value = "postgres://jangbogo@127.0.0.1:5432",
        hide_env_values = true,
        global = true
    )]
    pub postgres: String,
    /// Redis: redis://host:port
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true, global = true)]
    pub redis: String,
    /// Elasticsearch: http://host:port
    #[arg(
        long,
        env = "ELASTICSEARCH_URL",
        default_value = "http://127.0.0.1:9200",
        hide_env_values = true,
        global = true
    )]
    pub elasticsearch: String,
    /// The shop: a prefix of everything it owns in the servers
    #[arg(long, env = "JANGBOGO_NAMESPACE", default_value = "", global = true)]
    pub namespace: Namespace,
    /// The shop's time zone: days and hours are counted in it. A fold setting: changing it needs a rebuild
    #[arg(long, env = "JANGBOGO_TIME_ZONE", default_value = "UTC", global = true)]
    pub time_zone: Tz,
    /// The embedding model by which products are embedded, and of which a new generation has vectors; `jangbogo models list`
    /// shows those there are [default: that of the live generations, all-MiniLM-L6-v2 in a new shop]
    #[arg(long, env = "EMBEDDING_MODEL", global = true, value_name = "NAME")]
    pub embedding_model: Option<String>,
    /// Indexes of vectors.
    #[command(flatten)]
    pub vector_index: VectorIndex,
}

/// The embedding model of a shop that was told of none.
pub const DEFAULT_EMBEDDING_MODEL: &str = "all-MiniLM-L6-v2";

/// Redis' databases, by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisDatabase {
    /// What is published, and what is told from one program to another: the one that the URL names, else 0.
    Views,
    /// Texts' vectors, and what is counted of them: 1.
    Vectors,
}

impl Connections {
    /// A pool of connections to Redis that connects when it is first used.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn redis_pool(&self, database: RedisDatabase) -> Result<Pool, RedisError> {
        let mut server = self.redis.as_str().into_connection_info()?;
        if database == RedisDatabase::Vectors {
            let settings = server.redis_settings().clone().set_db(1);
            server = server.set_redis_settings(settings);
        }
        Pool::builder(Manager::new(server)?).runtime(Runtime::Tokio1).build().map_err(|error| {
            RedisError::from((ErrorKind::InvalidClientConfig, "the Redis URL is refused", error.to_string()))
        })
    }

    /// A Kafka client's configuration with what every client shares.
    #[must_use]
    pub fn kafka_client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka)
            .set("client.id", client_id)
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000");
        config
    }

    /// A producer's configuration: idempotent, acknowledged by all, partitioned as Java's producers do.
    #[must_use]
    pub fn kafka_producer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.kafka_client(client_id);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("message.max.bytes", MAX_RECORD_BYTES);
        config
    }
}

/// Values are at most 4 MiB and dead letters 8 MiB; headers and batch framing come on top.
pub const MAX_RECORD_BYTES: &str = "9437184";
