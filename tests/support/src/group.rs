//! Partition assignment of a consumer group, as the group coordinator reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jangbogo_fold::Processor;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::shop::Shop;

/// Partitions of each event topic.
pub const PARTITIONS_OF_TOPIC: usize = 6;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Topic and partition number.
pub type Partition = (String, i32);

/// A processor's consumer group.
pub struct Group {
    name: String,
    consumer: BaseConsumer,
    /// Number of partitions that the group reads.
    pub partitions: usize,
}

impl Group {
    pub fn for_processor(shop: &Shop, processor: &Processor) -> Self {
        Self {
            name: shop.connections.namespace.group(processor.name),
            consumer: shop.connections.kafka_client("test").create().unwrap(),
            partitions: PARTITIONS_OF_TOPIC * processor.topics().len(),
        }
    }

    /// Each member's partitions; none during a rebalance, or while the coordinator cannot answer.
    pub fn assignments(&self) -> Option<Vec<BTreeSet<Partition>>> {
        let list = self.consumer.fetch_group_list(Some(&self.name), TIMEOUT).ok()?;
        let group = list.groups().iter().find(|group| group.state() == "Stable")?;
        Some(group.members().iter().map(|member| partitions(member.assignment().unwrap_or_default())).collect())
    }

    /// True when this number of members own all partitions in fair shares.
    pub fn is_divided_by(&self, members: usize) -> bool {
        let Some(assignments) = self.assignments() else { return false };
        let least = self.partitions / members;
        assignments.len() == members
            && assignments.iter().all(|owned| owned.len() >= least)
            && assignments.iter().map(BTreeSet::len).sum::<usize>() == self.partitions
    }

    /// Waits until this number of members own all partitions in fair shares.
    pub async fn wait_until_divided_by(&self, members: usize) {
        let began = Instant::now();
        while !self.is_divided_by(members) {
            let assigned: Option<BTreeMap<usize, usize>> =
                self.assignments().map(|owned| owned.iter().map(BTreeSet::len).enumerate().collect());
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{} is not divided by {members}: {assigned:?}",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Decodes a member's assignment: a version, then for each topic its name and partitions.
fn partitions(assignment: &[u8]) -> BTreeSet<Partition> {
    let mut partitions = BTreeSet::new();
    let mut rest = assignment;
    let _version = take::<2>(&mut rest);
    for _ in 0..take_length(&mut rest) {
        let length = take::<2>(&mut rest).map_or(0, u16::from_be_bytes);
        let (name, after) = rest.split_at(length.into());
        rest = after;
        let topic = String::from_utf8(name.to_vec()).unwrap();
        for _ in 0..take_length(&mut rest) {
            partitions.insert((topic.clone(), take::<4>(&mut rest).map_or(0, i32::from_be_bytes)));
        }
    }
    partitions
}

fn take_length(bytes: &mut &[u8]) -> u32 {
    take::<4>(bytes).map_or(0, u32::from_be_bytes)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}
