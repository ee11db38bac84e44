//! Triggers a rebalance when partitions of the consumer group stay orphaned.
//!
//! A cooperative rebalance has two rounds: members give partitions up, then these are assigned to others. If a static
//! member is killed and replaced in between, no second round follows: the group is stable with orphaned partitions. A
//! member that joins and leaves triggers a full assignment.

use std::time::{Duration, Instant};

use jangbogo_fold::Processor;
use jangbogo_platform::config::Connections;
use jangbogo_resilience::retry::jitter;
use jangbogo_telemetry::causes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::groups::GroupMemberInfo;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

/// Interval of the checks, without jitter.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Number of consecutive checks with orphaned partitions after which a rebalance is triggered.
const MAX_CHECKS: u32 = 2;
/// Time that the temporary member waits for its assignment.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the processor's group until it is stopped.
pub async fn watch(connections: Connections, processor: &'static Processor, stop: CancellationToken) {
    let group = Group {
        name: connections.namespace.group(processor.name),
        topics: processor.topics().into_iter().map(|topic| connections.namespace.topic(topic)).collect(),
        connections,
        stop,
    };
    let mut checks = 0;
    // Jitter makes one of several processes the first; the others find the group rebalancing.
    let pause = || jitter(CHECK_INTERVAL, 0.5, Uuid::now_v7());
    while group.stop.run_until_cancelled(tokio::time::sleep(pause())).await.is_some() {
        let orphaned = match group.blocking(Group::orphaned).await {
            Ok(orphaned) => orphaned,
            Err(error) => {
                debug!(error = %causes(&error), "cannot describe consumer group");
                0
            }
        };
        checks = if orphaned > 0 { checks + 1 } else { 0 };
        if checks < MAX_CHECKS {
            continue;
        }
        warn!(group = group.name, orphaned, "orphaned partitions; triggering a rebalance");
        checks = 0;
        if let Err(error) = group.blocking(Group::trigger_rebalance).await {
            debug!(error = %causes(&error), "cannot trigger a rebalance");
        }
    }
}

#[derive(Clone)]
struct Group {
    connections: Connections,
    name: String,
    topics: Vec<String>,
    stop: CancellationToken,
}

impl Group {
    async fn blocking<T: Send + 'static>(&self, request: fn(&Self) -> KafkaResult<T>) -> KafkaResult<T> {
        let group = self.clone();
        // The client blocks.
        tokio::task::spawn_blocking(move || request(&group)).await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Number of partitions without an owner; 0 while the group is not stable.
    fn orphaned(&self) -> KafkaResult<usize> {
        let consumer: BaseConsumer = self.connections.kafka_client(&self.name).create()?;
        let list = consumer.fetch_group_list(Some(&self.name), TIMEOUT)?;
        let Some(group) = list.groups().iter().find(|group| group.state() == "Stable") else { return Ok(0) };
        let owned: usize = group.members().iter().filter_map(GroupMemberInfo::assignment).map(partitions).sum();
        let mut partitions = 0;
        for topic in &self.topics {
            let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            partitions += metadata.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>();
        }
        Ok(partitions.saturating_sub(owned))
    }

    /// Joins the group, waits for an assignment, and leaves.
    fn trigger_rebalance(&self) -> KafkaResult<()> {
        let consumer: BaseConsumer = self
            .connections
            .kafka_client(&self.name)
            .set("group.id", &self.name)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest")
            .create()?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        let began = Instant::now();
        while !self.stop.is_cancelled() && began.elapsed() < JOIN_TIMEOUT && consumer.assignment()?.count() == 0 {
            // Its records are not folded here: the next owner reads them from its checkpoint.
            let _ = consumer.poll(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Number of partitions in a member's assignment: a version, then each topic's name and partition numbers.
fn partitions(assignment: &[u8]) -> usize {
    let mut rest = assignment;
    let mut count = 0;
    let _version = take::<2>(&mut rest);
    for _ in 0..take(&mut rest).map_or(0, u32::from_be_bytes) {
        let length = take(&mut rest).map_or(0, u16::from_be_bytes);
        rest = rest.get(usize::from(length)..).unwrap_or_default();
        let partitions = take(&mut rest).map_or(0, u32::from_be_bytes) as usize;
        rest = rest.get(4 * partitions..).unwrap_or_default();
        count += partitions;
    }
    count
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_an_assignment_are_counted() {
        let assignment = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x02bc\0\0\0\x01\0\0\0\x05\0\0\0\0";
        assert_eq!(partitions(assignment), 3);
        assert_eq!(partitions(b""), 0, "a member without an assignment");
        assert_eq!(partitions(&assignment[..20]), 2, "a truncated assignment");
    }
}
