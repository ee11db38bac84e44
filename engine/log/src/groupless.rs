//! Reading Kafka without a consumer group: client settings, partitions with their offset ranges, assignment, and
//! polling that distinguishes the end of a partition, an outage and an error. Nothing is committed to Kafka.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use jangbogo_platform::config::Connections;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// The longest that [`poll`]ing callers should block, so that they notice soon when they are to stop.
pub const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Pause between two requests for the offsets of a partition without a leader.
const LEADER_INTERVAL: Duration = Duration::from_millis(100);

/// Client settings that commit nothing, report the end of each partition, and fail where an offset does not exist.
#[must_use]
pub fn config(connections: &Connections, client: &str) -> ClientConfig {
    let mut config = connections.kafka_client(client);
    // The client library requires a group id even where it joins no group.
    config
        .set("group.id", client)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    config
}

/// The number of partitions of each topic, by name. A topic that does not exist is absent.
///
/// # Errors
/// When Kafka is unavailable, or reports an error for one of the topics.
pub fn partition_counts<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topics: &[String],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, i32>> {
    // Of all topics: a request for a single missing one takes the whole timeout.
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let mut counts = BTreeMap::new();
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        match topic.error() {
            None => {
                let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
                counts.insert(topic.name().to_owned(), count);
            }
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => {}
            Some(error) => return Err(KafkaError::MetadataFetch(error.into())),
        }
    }
    counts.retain(|_, count| *count > 0);
    Ok(counts)
}

/// The offsets from a partition's first record to behind its last. Waits for a leader, up to the timeout: a topic that
/// was just created has none yet.
///
/// # Errors
/// When Kafka is unavailable or does not have the partition.
pub fn range<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> KafkaResult<Range<i64>> {
    let started = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, timeout) {
            Ok((first, end)) => return Ok(first..end),
            Err(KafkaError::MetadataFetch(cause)) if lacks_leader(cause) && started.elapsed() < timeout => {
                thread::sleep(LEADER_INTERVAL);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The offset [`range`]s of topics, by name and partition number. A topic that does not exist is absent.
///
/// # Errors
/// When Kafka is unavailable.
pub fn ranges<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topics: &[String],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, Vec<Range<i64>>>> {
    let counts = partition_counts(consumer, topics, timeout)?.into_iter();
    let with_ranges = counts.map(|(topic, count)| {
        let ranges =
            (0..count).map(|partition| range(consumer, &topic, partition, timeout)).collect::<KafkaResult<_>>()?;
        Ok((topic, ranges))
    });
    with_ranges.collect()
}

/// Replaces what the consumer reads: partitions by topic name and number, each from an offset on.
///
/// # Errors
/// When the client rejects the assignment.
pub fn assign<C: ConsumerContext, T: AsRef<str>>(
    consumer: &impl Consumer<C>,
    positions: impl IntoIterator<Item = (T, i32, i64)>,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in positions {
        list.add_partition_offset(topic.as_ref(), partition, Offset::Offset(offset))?;
    }
    consumer.assign(&list)
}

/// Outcome of one poll.
#[derive(Debug)]
pub enum Polled<'a> {
    Record(BorrowedMessage<'a>),
    /// A partition of this number is at its end. With several topics, the client's positions show of which.
    EndOfPartition(i32),
    /// Nothing arrived within the timeout.
    Idle,
    /// The client reconnects by itself: poll again.
    Unavailable(KafkaError),
    /// The offset to read next no longer exists: removed by retention, or the topic was recreated.
    OffsetLost(KafkaError),
    /// Polling again does not help.
    Failed(KafkaError),
}

/// Waits for the next record up to the timeout.
#[must_use]
pub fn poll<C: ConsumerContext>(consumer: &BaseConsumer<C>, timeout: Duration) -> Polled<'_> {
    match consumer.poll(timeout) {
        None => Polled::Idle,
        Some(Ok(message)) => Polled::Record(message),
        Some(Err(KafkaError::PartitionEOF(partition))) => Polled::EndOfPartition(partition),
        Some(Err(error)) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => Polled::OffsetLost(error),
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NetworkException
                | RDKafkaErrorCode::BrokerNotAvailable
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable,
            ) => Polled::Unavailable(error),
            _ => Polled::Failed(error),
        },
    }
}

/// Reads every record of offset ranges, in the order of each partition.
///
/// # Errors
/// When `each` fails, a range no longer exists, or Kafka sends nothing for the timeout.
pub fn read_ranges<C: ConsumerContext, E: From<KafkaError>>(
    consumer: &BaseConsumer<C>,
    ranges: &BTreeMap<String, Vec<Range<i64>>>,
    timeout: Duration,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut ends: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
    let mut positions = Vec::new();
    for (topic, ranges) in ranges {
        for (number, range) in (0..).zip(ranges).filter(|(_, range)| !range.is_empty()) {
            ends.entry(topic).or_default().insert(number, range.end);
            positions.push((topic, number, range.start));
        }
    }
    assign(consumer, positions)?;
    let mut last_answer = Instant::now();
    while ends.values().any(|ends| !ends.is_empty()) {
        match poll(consumer, POLL_TIMEOUT) {
            Polled::Record(message) => {
                last_answer = Instant::now();
                let Some(ends) = ends.get_mut(message.topic()) else { continue };
                let Some(end) = ends.get(&message.partition()).copied() else { continue };
                if message.offset() + 1 >= end {
                    ends.remove(&message.partition());
                }
                if message.offset() < end {
                    each(&message)?;
                }
            }
            // A range may end with offsets that hold no record.
            Polled::EndOfPartition(number) => {
                let positions = consumer.position()?;
                let is_single = ends.len() == 1;
                for (topic, ends) in &mut ends {
                    ends.retain(|partition, end| {
                        let position = positions.find_partition(topic, *partition).and_then(|at| at.offset().to_raw());
                        !(is_single && *partition == number || position.is_some_and(|position| position >= *end))
                    });
                }
            }
            Polled::OffsetLost(error) | Polled::Failed(error) => return Err(error.into()),
            Polled::Unavailable(error) if last_answer.elapsed() > timeout => return Err(error.into()),
            Polled::Idle if last_answer.elapsed() > timeout => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut).into());
            }
            Polled::Unavailable(_) | Polled::Idle => {}
        }
    }
    Ok(consumer.unassign()?)
}

fn lacks_leader(cause: RDKafkaErrorCode) -> bool {
    matches!(
        cause,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::UnknownTopicOrPartition
    )
}
