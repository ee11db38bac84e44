//! Reads a range of offsets of a partition, without a consumer group.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jangbogo_log::groupless::{self, Polled};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use tracing::warn;

use super::topics::ShopTopic;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time between two checks for a stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// A consumer without a group, which leaves no trace in Kafka.
pub struct LogReader {
    consumer: BaseConsumer<QuietContext>,
    servers: String,
}

impl LogReader {
    /// Connects on first use.
    pub fn new(connections: &Connections) -> anyhow::Result<Self> {
        let mut config = groupless::config(connections, "jangbogo-transfer");
        config.set("check.crcs", "true").set("fetch.wait.max.ms", "50").set("queued.max.messages.kbytes", "32768");
        let consumer = config.create_with_context(QuietContext).context("cannot create a Kafka consumer")?;
        Ok(Self { consumer, servers: connections.kafka.clone() })
    }

    /// Offsets of the records of each partition of a topic, by the partition's number.
    pub fn offsets(&self, topic: &ShopTopic) -> anyhow::Result<Vec<Range<i64>>> {
        let name = &topic.kafka_name;
        let counts = groupless::partition_counts(&self.consumer, std::slice::from_ref(name), METADATA_TIMEOUT);
        let counts = counts.with_context(|| format!("cannot reach Kafka at {}", self.servers))?;
        let Some(count) = counts.get(name) else {
            bail!(
                "the topic {name} does not exist at {}; see that --namespace and --kafka are right; \
                 `jangbogo topology apply` creates a shop's topics",
                self.servers
            );
        };
        (0..*count).map(|partition| self.partition_offsets(topic, partition)).collect()
    }

    /// Offsets of the records of a partition.
    pub fn partition_offsets(&self, topic: &ShopTopic, partition: i32) -> anyhow::Result<Range<i64>> {
        let name = &topic.kafka_name;
        groupless::range(&self.consumer, name, partition, METADATA_TIMEOUT)
            .with_context(|| format!("cannot fetch the offsets of {name}/{partition} from Kafka"))
    }

    /// Reads every record within the range; retries while Kafka is unavailable.
    pub fn read(
        &self,
        topic: &ShopTopic,
        partition: i32,
        range: Range<i64>,
        mut each: impl FnMut(Option<&BorrowedMessage<'_>>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let name = &topic.kafka_name;
        groupless::assign(&self.consumer, [(name, partition, range.start)])
            .with_context(|| format!("cannot read {name}/{partition}"))?;
        let mut next_offset = range.start;
        let mut is_waiting = false;
        while next_offset < range.end {
            let message = match groupless::poll(&self.consumer, POLL_TIMEOUT) {
                Polled::Record(message) => message,
                Polled::Idle => {
                    each(None)?;
                    continue;
                }
                // The range may end with offsets that hold no record.
                Polled::EndOfPartition(_) => {
                    let offsets = self.partition_offsets(topic, partition)?;
                    if offsets.end < range.end {
                        bail!("{name}/{partition} ends at {} and had {} records before", offsets.end, range.end);
                    }
                    break;
                }
                Polled::Unavailable(cause) => {
                    if !is_waiting {
                        warn!("waiting for kafka: {cause}");
                    }
                    is_waiting = true;
                    each(None)?;
                    continue;
                }
                Polled::OffsetLost(error) | Polled::Failed(error) => {
                    let position = format!("cannot read {name}/{partition} from offset {next_offset}");
                    return Err(error).context(position);
                }
            };
            is_waiting = false;
            if message.offset() >= range.end {
                break;
            }
            each(Some(&message))?;
            next_offset = message.offset() + 1;
        }
        self.consumer.unassign()?;
        Ok(())
    }
}
