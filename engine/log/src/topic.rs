//! Reads a small topic from its beginning to its current end, without a consumer group.

use std::time::Duration;

use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use tokio::sync::mpsc;

use crate::groupless;

/// Reading fails if Kafka sends nothing for this time.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Capacity of the queue of records: values may be 8 MiB.
const READ_AHEAD: usize = 4;

/// A topic of dead letters, or of decisions on them, could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the topic {topic} from kafka at {servers}: check that it is running (`jangbogo stack status`)")]
pub struct ReadError {
    /// The topic's name in Kafka.
    pub topic: String,
    pub servers: String,
    #[source]
    pub source: KafkaError,
}

/// Records in the order of each partition. Nothing follows an error.
pub type Records = mpsc::Receiver<Result<OwnedMessage, ReadError>>;

/// Reads on a thread of its own up to the current end, or until the receiver is dropped. A missing topic counts as
/// empty.
#[must_use]
pub fn read_to_end(connections: &Connections, topic: String) -> Records {
    let config = groupless::config(connections, "dead-letters");
    let servers = connections.kafka.clone();
    let (sender, records) = mpsc::channel(READ_AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(Some(source)) = send_all(&config, &topic, &sender) {
            let _ = sender.blocking_send(Err(ReadError { topic, servers, source }));
        }
    });
    records
}

/// Fails with none when the receiver was dropped.
fn send_all(
    config: &ClientConfig,
    topic: &str,
    sender: &mpsc::Sender<Result<OwnedMessage, ReadError>>,
) -> Result<(), Option<KafkaError>> {
    let consumer: BaseConsumer<QuietContext> = config.create_with_context(QuietContext)?;
    let ranges = groupless::ranges(&consumer, &[topic.to_owned()], TIMEOUT)?;
    groupless::read_ranges(&consumer, &ranges, TIMEOUT, |message| {
        sender.blocking_send(Ok(message.detach())).map_err(|_| None)
    })
}
