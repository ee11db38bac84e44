//! Probes: requests that only a working server answers.

use std::str::FromStr;
use std::time::Duration;

use jangbogo_platform::servers::Server;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use redis::AsyncConnectionConfig;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::error::ProbeError;

const LIMIT: Duration = Duration::from_secs(3);

/// Version of a server, as it reports it; none for Kafka.
type Version = Option<String>;

/// Makes a real request: Kafka's metadata, a query, `PING`, the cluster's health.
pub(crate) async fn probe(server: Server, address: &str) -> Result<Version, ProbeError> {
    let request = async {
        match server {
            Server::Kafka => probe_kafka(address).await,
            Server::Postgres => probe_postgres(address).await.map_err(ProbeError::Postgres),
            Server::Redis => probe_redis(address).await.map_err(ProbeError::Redis),
            Server::Elasticsearch => probe_elasticsearch(address).await.map_err(ProbeError::Elasticsearch),
        }
    };
    tokio::time::timeout(LIMIT, request).await.unwrap_or(Err(ProbeError::Timeout(LIMIT)))
}

async fn probe_kafka(address: &str) -> Result<Version, ProbeError> {
    let mut configuration = ClientConfig::new();
    configuration
        .set("bootstrap.servers", address)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "200")
        // Refused connections are expected while a server starts.
        .set_log_level(RDKafkaLogLevel::Emerg);
    let brokers = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = configuration.create()?;
        // An unknown topic's metadata is enough; all topics' could be a lot.
        let metadata = consumer.fetch_metadata(Some("__consumer_offsets"), LIMIT)?;
        Ok(metadata.brokers().len())
    });
    match brokers.await {
        Ok(Ok(0)) | Err(_) => Err(ProbeError::NoBroker),
        Ok(Ok(_)) => Ok(None),
        Ok(Err(error)) => Err(ProbeError::Kafka(error)),
    }
}

async fn probe_postgres(address: &str) -> Result<Version, sqlx::Error> {
    let options = PgConnectOptions::from_str(address)?.database("postgres");
    let mut connection = options.disable_statement_logging().connect().await?;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(version.split_whitespace().next().map(str::to_owned))
}

async fn probe_redis(address: &str) -> Result<Version, redis::RedisError> {
    let client = redis::Client::open(address)?;
    let configuration = AsyncConnectionConfig::new().set_connection_timeout(Some(LIMIT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&configuration).await?;
    let () = redis::cmd("PING").exec_async(&mut connection).await?;
    let information: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let version = information.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.map(|it| it.trim().to_owned()))
}

async fn probe_elasticsearch(address: &str) -> Result<Version, reqwest::Error> {
    // A proxy in the environment is for other machines.
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    let health = format!("{address}/_cluster/health?wait_for_status=yellow&timeout=2s");
    client.get(health).send().await?.error_for_status()?;
    let nodes = format!("{address}/_nodes/_local?filter_path=nodes.*.version");
    let nodes: Value = client.get(nodes).send().await?.error_for_status()?.json().await?;
    let node = nodes["nodes"].as_object().and_then(|nodes| nodes.values().next());
    let version = node.and_then(|node| node["version"].as_str());
    Ok(version.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_port_is_an_error_within_the_limit() {
        for (server, address) in [
            (Server::Kafka, "127.0.0.1:1"),
            (Server::Postgres, "postgres://jangbogo@127.0.0.1:1"),
            (Server::Redis, "redis://127.0.0.1:1"),
            (Server::Elasticsearch, "http://127.0.0.1:1"),
        ] {
            let answer = tokio::time::timeout(LIMIT * 2, probe(server, address)).await.unwrap();
            assert!(answer.is_err(), "{server}");
        }
    }
}
