//! Reads a range of offsets of a partition, without a consumer group.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tracing::warn;

use super::topics::ShopTopic;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a partition without a leader is requested again.
const UNSETTLED_PAUSE: Duration = Duration::from_millis(100);
/// Maximum time between two checks for a stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// A consumer without a group, which leaves no trace in Kafka.
pub struct LogReader {
    consumer: BaseConsumer<QuietContext>,
    servers: String,
}

impl LogReader {
    /// Connects on first use.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn new(connections: &Connections) -> anyhow::Result<Self> {
        let mut config = connections.kafka_client("jangbogo-transfer");
        config
            .set("group.id", "jangbogo-transfer")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", "32768");
        let consumer = config.create_with_context(QuietContext).context("cannot create a Kafka consumer")?;
        Ok(Self { consumer, servers: connections.kafka.clone() })
    }

    /// Offsets of the records of each partition of a topic, by the partition's number.
    ///
    /// # Errors
    /// When Kafka is unavailable or the topic does not exist.
    pub fn offsets(&self, topic: &ShopTopic) -> anyhow::Result<Vec<Range<i64>>> {
        let name = &topic.kafka_name;
        // Of all topics: a request for a single missing topic takes the whole timeout.
        let metadata = self.consumer.fetch_metadata(None, METADATA_TIMEOUT);
        let metadata = metadata.with_context(|| format!("cannot reach Kafka at {}", self.servers))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else {
            bail!(
                "the topic {name} does not exist at {}; see that --namespace and --kafka are right; \
                 `jangbogo topology apply` creates a shop's topics",
                self.servers
            );
        };
        let count = i32::try_from(found.partitions().len())?;
        (0..count).map(|partition| self.partition_offsets(topic, partition)).collect()
    }

    /// Offsets of the records of a partition.
    ///
    /// # Errors
    /// When Kafka is unavailable.
    pub fn partition_offsets(&self, topic: &ShopTopic, partition: i32) -> anyhow::Result<Range<i64>> {
        let name = &topic.kafka_name;
        let asked = Instant::now();
        loop {
            match self.consumer.fetch_watermarks(name, partition, METADATA_TIMEOUT) {
                Ok((first, end)) => return Ok(first..end),
                // A topic that was just created has no leaders yet.
                Err(KafkaError::MetadataFetch(cause)) if is_unsettled(cause) && asked.elapsed() < METADATA_TIMEOUT => {
                    thread::sleep(UNSETTLED_PAUSE);
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot fetch the offsets of {name}/{partition}"));
                }
            }
        }
    }

    /// Reads every record within the range; retries while Kafka is unavailable.
    ///
    /// # Errors
    /// When `each` fails, or the partition does not have the range.
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
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(name, partition, Offset::Offset(range.start))?;
        self.consumer.assign(&assignment).with_context(|| format!("cannot read {name}/{partition}"))?;
        let mut next_offset = range.start;
        let mut is_waiting = false;
        while next_offset < range.end {
            let message = match self.consumer.poll(POLL_TIMEOUT) {
                None => {
                    each(None)?;
                    continue;
                }
                Some(Ok(message)) => message,
                // Offsets of control records count too: the range may end without another record.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let offsets = self.partition_offsets(topic, partition)?;
                    if offsets.end < range.end {
                        bail!("{name}/{partition} ends at {} and had {} records before", offsets.end, range.end);
                    }
                    break;
                }
                Some(Err(KafkaError::MessageConsumption(cause))) if !is_final(cause) => {
                    if !is_waiting {
                        warn!("waiting for kafka: {cause}");
                    }
                    is_waiting = true;
                    each(None)?;
                    continue;
                }
                Some(Err(error)) => {
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

/// True if a partition has no leader yet or a new one.
fn is_unsettled(cause: RDKafkaErrorCode) -> bool {
    matches!(
        cause,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::UnknownTopicOrPartition
    )
}

/// True if a retry cannot succeed.
fn is_final(cause: RDKafkaErrorCode) -> bool {
    matches!(
        cause,
        RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::InvalidMessage
    )
}
