//! Connection settings of every program, each a flag and an environment variable, and the clients made from them.

use chrono_tz::Tz;
use clap::Args;
use deadpool_redis::{Manager, Pool, Runtime};
use rdkafka::ClientConfig;
use redis::{ErrorKind, IntoConnectionInfo as _, RedisError};

use crate::namespace::Namespace;
use crate::vector_index::VectorIndex;

/// Addresses of the servers, and the namespace of the shop in them.
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
    /// Namespace of the shop: prefix of all its names in the servers
    #[arg(long, env = "JANGBOGO_NAMESPACE", default_value = "", global = true)]
    pub namespace: Namespace,
    /// Time zone of the shop's days and hours. A fold setting: a change needs a rebuild
    #[arg(long, env = "JANGBOGO_TIME_ZONE", default_value = "UTC", global = true)]
    pub time_zone: Tz,
    /// Embedding model of products, and of a new generation's vectors; `jangbogo models list` shows the models
    /// [default: that of the live generations, all-MiniLM-L6-v2 in a new shop]
    #[arg(long, env = "EMBEDDING_MODEL", global = true, value_name = "NAME")]
    pub embedding_model: Option<String>,
    #[command(flatten)]
    pub vector_index: VectorIndex,
}

/// The embedding model of a new shop where none is set.
pub const DEFAULT_EMBEDDING_MODEL: &str = "all-MiniLM-L6-v2";

/// Logical databases of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisDatabase {
    /// Published views, and pub/sub channels between programs: the database that the URL names, else 0.
    Views,
    /// Cached vectors of texts, and their hit counters: database 1.
    Vectors,
}

impl Connections {
    /// A Redis connection pool that connects on first use.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub fn redis_pool(&self, database: RedisDatabase) -> Result<Pool, RedisError> {
        let mut server = self.redis.as_str().into_connection_info()?;
        if database == RedisDatabase::Vectors {
            let settings = server.redis_settings().clone().set_db(1);
            server = server.set_redis_settings(settings);
        }
        Pool::builder(Manager::new(server)?)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| RedisError::from((ErrorKind::InvalidClientConfig, "invalid redis URL", error.to_string())))
    }

    /// Configuration that every Kafka client shares.
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

    /// Configuration of an idempotent producer: `acks=all`, lz4, and the partitioner of Java's producers.
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

/// `message.max.bytes`: values are at most 4 MiB and dead letters 8 MiB; headers and batch framing come on top.
pub const MAX_RECORD_BYTES: &str = "9437184";
