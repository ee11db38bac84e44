//! Static group membership: rejoins under the same `group.instance.id` after an eviction without a rebalance.
//!
//! A static member is fenced when another process joins under its name: then the worker ends. But when a broker
//! restarts while the member joins, the coordinator may have assigned a second member id whose response was lost. That
//! id expires with its session, after which the worker rejoins.

use std::time::{Duration, Instant};

use jangbogo_platform::config::Connections;
use jangbogo_telemetry::causes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::groups::GroupInfo;
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::source::{Source, SourceOptions};

/// A member id that stays in the group for longer than a session timeout plus a broker's start is alive.
const ALIVE_AFTER: Duration = Duration::from_secs(20);
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a consumer until it is stopped, and rejoins after a spurious eviction.
///
/// # Errors
/// When the consumer fails, such as when another process has joined under its `group.instance.id`.
pub async fn run<Working>(
    connections: Connections,
    options: SourceOptions,
    stop: CancellationToken,
    work: impl Fn(Source) -> Working + Send,
) -> KafkaResult<()>
where
    Working: Future<Output = KafkaResult<()>> + Send,
{
    loop {
        let outcome = work(Source::open(&connections, options.clone())?).await;
        let (Err(error), Some(instance)) = (&outcome, &options.instance) else { return outcome };
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::FencedInstanceId) {
            return outcome;
        }
        let group = connections.namespace.group(&options.group);
        warn!(group, instance, "fenced; checking for another process with this group.instance.id");
        match stop.run_until_cancelled(is_held_by_another(&connections, &group, instance)).await {
            Some(Ok(false)) => warn!(group, instance, "no other process has this group.instance.id; rejoining"),
            Some(Ok(true)) => return outcome,
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}

/// True if a live process holds the static membership. Retries while Kafka is unavailable.
async fn is_held_by_another(connections: &Connections, group: &str, instance: &str) -> KafkaResult<bool> {
    let mut holder = String::new();
    let mut held_since = Instant::now();
    loop {
        match member_id_of(connections.kafka_client(group).create()?, group.to_owned(), instance).await {
            Ok(None) => return Ok(false),
            Ok(Some(member)) if member == holder => {
                if held_since.elapsed() >= ALIVE_AFTER {
                    return Ok(true);
                }
            }
            Ok(Some(member)) => (holder, held_since) = (member, Instant::now()),
            Err(error) => {
                debug!(error = %causes(&error), "cannot describe consumer group");
                held_since = Instant::now();
            }
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Current member id of the static member: its name with a random suffix.
async fn member_id_of(consumer: BaseConsumer, group: String, instance: &str) -> KafkaResult<Option<String>> {
    let prefix = format!("{group}-{instance}-");
    let requested = tokio::task::spawn_blocking(move || {
        let list = consumer.fetch_group_list(Some(&group), TIMEOUT)?;
        let members = list.groups().iter().flat_map(GroupInfo::members);
        Ok(members.map(|member| member.id().to_owned()).find(|id| id.starts_with(&prefix)))
    });
    requested.await.unwrap_or(Err(KafkaError::Canceled))
}
