//! A small topic from its beginning to the end it has now, without a consumer group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Message as _, OwnedMessage};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

/// How long Kafka may be silent before reading is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Records read ahead: values may be 8 MiB.
const READ_AHEAD: usize = 4;

/// A topic of dead letters, or of decisions on them, could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the topic {topic} from kafka at {servers}; see that it is up (`jangbogo stack status`)")]
pub struct ReadError {
    /// Its name in Kafka.
    pub topic: String,
    /// Kafka's addresses.
    pub servers: String,
    /// What Kafka said.
    #[source]
    pub source: KafkaError,
}

/// Records in the order of each partition; an error is the last.
pub type Records = mpsc::Receiver<Result<OwnedMessage, ReadError>>;

/// Reads on a thread of its own until the end of now, or until nobody listens. A missing topic is an empty one.
pub fn read_to_end(connections: &Connections, topic: String) -> Records {
    let mut config = connections.kafka_client("dead-letters");
    // The client asks for a group's name even where it joins none.
    config
        .set("group.id", connections.namespace.group("dead-letters"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    let servers = connections.kafka.clone();
    let (sender, records) = mpsc::channel(READ_AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(source) = send_all(&config, &topic, &sender) {
            // Nobody listens any more: nobody minds.
            let _ = sender.blocking_send(Err(ReadError { topic, servers, source }));
        }
    });
    records
}

fn send_all(
    config: &ClientConfig,
    topic: &str,
    sender: &mpsc::Sender<Result<OwnedMessage, ReadError>>,
) -> KafkaResult<()> {
    let consumer: BaseConsumer<QuietContext> = config.create_with_context(QuietContext)?;
    let mut ends = assign_all(&consumer, topic)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let end = ends.get(&message.partition()).copied().unwrap_or_default();
                if message.offset() + 1 >= end {
                    ends.remove(&message.partition());
                }
                if message.offset() < end && sender.blocking_send(Ok(message.detach())).is_err() {
                    return Ok(());
                }
                heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            // The client reconnects by itself.
            Some(Err(error)) if heard.elapsed() > ANSWER_LIMIT => return Err(error),
            None if heard.elapsed() > ANSWER_LIMIT => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

/// Assigns every partition that holds something, from its first record on, and says where each ends.
fn assign_all(consumer: &BaseConsumer<QuietContext>, topic: &str) -> KafkaResult<BTreeMap<i32, i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT)?;
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for found in metadata.topics() {
        match found.error() {
            None => {}
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(ends),
            Some(error) => return Err(KafkaError::MetadataFetch(error.into())),
        }
        for partition in found.partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ANSWER_LIMIT)?;
            if low < high {
                assignment.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
                ends.insert(partition.id(), high);
            }
        }
    }
    consumer.assign(&assignment)?;
    Ok(ends)
}
