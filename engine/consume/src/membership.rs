//! A worker keeps its place in its group when Kafka takes the place away from it for nobody's sake.
//!
//! A static member is fenced when another process joins under its name: then it ends. But a broker that restarts while
//! the member joins may also have given the place to a second id of the same member, whose answer was lost. Nobody holds
//! that id, so it disappears from the group when its session ends, and the worker begins anew.

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

/// A member whose id is in the group for longer than a session, with all that a broker's start adds, is alive.
const ALIVE_AFTER: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Works on what a source reads until it is asked to stop.
///
/// # Errors
/// When the consumer cannot go on, such as when another process has taken its place in the group.
pub async fn keep<Working>(
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
        warn!(group, instance, "fenced: looking whether another process has this name");
        match stop.run_until_cancelled(is_taken(&connections, &group, instance)).await {
            Some(Ok(false)) => warn!(group, instance, "no other process has this name: joining again"),
            Some(Ok(true)) => return outcome,
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}

/// Whether a process holds the static member's place. Waits for Kafka as long as it takes.
async fn is_taken(connections: &Connections, group: &str, instance: &str) -> KafkaResult<bool> {
    let mut holder = String::new();
    let mut held_since = Instant::now();
    loop {
        match holder_of(connections.kafka_client(group).create()?, group.to_owned(), instance).await {
            Ok(None) => return Ok(false),
            Ok(Some(found)) if found == holder => {
                if held_since.elapsed() >= ALIVE_AFTER {
                    return Ok(true);
                }
            }
            Ok(Some(found)) => (holder, held_since) = (found, Instant::now()),
            Err(error) => {
                debug!(error = %causes(&error), "kafka does not say who is in the group");
                held_since = Instant::now();
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The id of the static member: its name and something random.
async fn holder_of(consumer: BaseConsumer, group: String, instance: &str) -> KafkaResult<Option<String>> {
    let prefix = format!("{group}-{instance}-");
    let asked = tokio::task::spawn_blocking(move || {
        let list = consumer.fetch_group_list(Some(&group), ANSWER_LIMIT)?;
        let members = list.groups().iter().flat_map(GroupInfo::members);
        Ok(members.map(|member| member.id().to_owned()).find(|id| id.starts_with(&prefix)))
    });
    asked.await.unwrap_or(Err(KafkaError::Canceled))
}
