//! A group that has left partitions without an owner is made to divide them anew.
//!
//! A cooperative rebalance has two rounds: members give partitions back, then they are given to others. A static member
//! that is killed in between is succeeded without a rebalance, and the second round never comes: the group is at rest, and
//! nobody folds what was given back. A member that joins and leaves makes it divide everything again.

use std::time::{Duration, Instant};

use jangbogo_fold::Processor;
use jangbogo_platform::config::Connections;
use jangbogo_telemetry::causes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::groups::GroupMemberInfo;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

/// How often the group is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A group that has been like this for so many looks will not change by itself.
const LOOKS: u32 = 2;
/// How long the member that joins waits for the rebalance.
const JOIN_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Looks after the processor's group until it is asked to stop.
pub async fn watch(connections: Connections, processor: &'static Processor, stop: CancellationToken) {
    let group = Group {
        name: connections.namespace.group(processor.name),
        topics: processor.topics().into_iter().map(|topic| connections.namespace.topic(topic)).collect(),
        connections,
        stop,
    };
    let mut looks = 0;
    // Chance makes one of several processes the first, and the others find the group at work.
    let pause = || LOOK_INTERVAL.mul_f64(1.0 + f64::from(Uuid::now_v7().as_bytes()[15]) / 512.0);
    while group.stop.run_until_cancelled(tokio::time::sleep(pause())).await.is_some() {
        let unowned = match group.blocking(Group::unowned).await {
            Ok(unowned) => unowned,
            Err(error) => {
                debug!(error = %causes(&error), "kafka does not say who owns what");
                0
            }
        };
        looks = if unowned > 0 { looks + 1 } else { 0 };
        if looks < LOOKS {
            continue;
        }
        warn!(group = group.name, unowned, "nobody owns some partitions: making the group divide them anew");
        looks = 0;
        if let Err(error) = group.blocking(Group::trigger_rebalance).await {
            debug!(error = %causes(&error), "the group was not disturbed");
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
    /// The client blocks.
    async fn blocking<T: Send + 'static>(&self, ask: fn(&Self) -> KafkaResult<T>) -> KafkaResult<T> {
        let group = self.clone();
        tokio::task::spawn_blocking(move || ask(&group)).await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// How many partitions nobody owns, while the group is at rest.
    fn unowned(&self) -> KafkaResult<usize> {
        let consumer: BaseConsumer = self.connections.kafka_client(&self.name).create()?;
        let list = consumer.fetch_group_list(Some(&self.name), ANSWER_LIMIT)?;
        let Some(group) = list.groups().iter().find(|group| group.state() == "Stable") else { return Ok(0) };
        let owned: usize = group.members().iter().filter_map(GroupMemberInfo::assignment).map(partitions).sum();
        let mut partitions = 0;
        for topic in &self.topics {
            let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT)?;
            partitions += metadata.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>();
        }
        Ok(partitions.saturating_sub(owned))
    }

    /// Joins the group, waits to be given something, and leaves.
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
        while !self.stop.is_cancelled() && began.elapsed() < JOIN_LIMIT && consumer.assignment()?.count() == 0 {
            // What it may read is not its to fold.
            let _ = consumer.poll(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// How many partitions a member's assignment names: after a version, for each topic its name and its partitions.
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
    fn an_assignment_names_its_partitions() {
        let assignment = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x01\0\x02bc\0\0\0\x01\0\0\0\x05\0\0\0\0";
        assert_eq!(partitions(assignment), 3);
        assert_eq!(partitions(b""), 0, "a member that was given nothing");
        assert_eq!(partitions(&assignment[..20]), 2, "what is cut off is not read past");
    }
}
