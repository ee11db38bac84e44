//! Where Kafka's partitions end, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_platform::namespace::Namespace;
use jangbogo_telemetry::causes;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{mpsc, oneshot};

use crate::{Offsets, Partition};

const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Requests beyond these wait outside.
const QUEUE: usize = 1024;

type Answer = Result<Arc<Offsets>, OffsetsError>;

/// Kafka did not say where its partitions end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OffsetsError {
    /// It is away, or refuses.
    #[error("kafka does not answer: {0}")]
    Kafka(String),
    /// A topic is not there.
    #[error("kafka has no topic {0}: apply the topology")]
    NoTopic(String),
    /// The thread that asks has ended.
    #[error("the service is stopping")]
    Stopping,
}

/// Asks Kafka where the partitions of topics end, once for all who ask at one time.
#[derive(Clone, Debug)]
pub struct EndOffsets {
    requests: mpsc::Sender<oneshot::Sender<Answer>>,
}

impl EndOffsets {
    /// Starts the thread that asks; it ends with the last clone.
    ///
    /// # Errors
    /// When a setting is refused.
    pub fn start(connections: &Connections, topics: BTreeSet<Topic>) -> Result<Self, KafkaError> {
        let mut config = connections.kafka_client("end-offsets");
        // It joins no group and reads nothing: it only asks.
        let config = config.set("group.id", "end-offsets").set("enable.auto.commit", "false");
        let consumer = config.create_with_context(QuietContext)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let asking = Asking { consumer, topics, namespace: connections.namespace.clone(), partitions: BTreeMap::new() };
        thread::spawn(move || asking.run(queue));
        Ok(Self { requests })
    }

    /// The ends at some moment after this call, so that they include whatever was acknowledged before it.
    ///
    /// # Errors
    /// When Kafka is away, or a topic is missing.
    pub async fn now(&self) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.requests.send(reply).await.map_err(|_| OffsetsError::Stopping)?;
        answer.await.map_err(|_| OffsetsError::Stopping)?
    }
}

struct Asking {
    consumer: BaseConsumer<QuietContext>,
    topics: BTreeSet<Topic>,
    namespace: Namespace,
    partitions: BTreeMap<Topic, i32>,
}

impl Asking {
    fn run(mut self, mut queue: mpsc::Receiver<oneshot::Sender<Answer>>) {
        while let Some(first) = queue.blocking_recv() {
            let mut waiting = vec![first];
            // Whoever comes from here on waits for the next answer.
            while let Ok(reply) = queue.try_recv() {
                waiting.push(reply);
            }
            let answer = self.ask();
            if answer.is_err() {
                // Topics may have been made anew.
                self.partitions.clear();
            }
            for reply in waiting {
                let _ = reply.send(answer.clone());
            }
        }
    }

    fn ask(&mut self) -> Answer {
        // Serves the client's own events, such as errors of connections.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        if self.partitions.is_empty() {
            self.partitions = partitions_of(&self.consumer, &self.namespace, &self.topics)?;
        }
        ends_of(&self.consumer, &self.namespace, &self.partitions).map(Arc::new)
    }
}

/// How many partitions each topic has.
///
/// # Errors
/// When Kafka is away, or a topic is missing.
pub fn partitions_of(
    consumer: &BaseConsumer<QuietContext>,
    namespace: &Namespace,
    topics: &BTreeSet<Topic>,
) -> Result<BTreeMap<Topic, i32>, OffsetsError> {
    let mut partitions = BTreeMap::new();
    for topic in topics {
        let name = namespace.topic(*topic);
        let metadata = consumer.fetch_metadata(Some(&name), TIME_LIMIT).map_err(refused)?;
        let found = metadata.topics().iter().find(|found| found.name() == name && found.error().is_none());
        let count = found.map_or(0, |found| found.partitions().len());
        if count == 0 {
            return Err(OffsetsError::NoTopic(name));
        }
        partitions.insert(*topic, i32::try_from(count).unwrap_or(i32::MAX));
    }
    Ok(partitions)
}

/// Where partitions end now.
///
/// # Errors
/// When Kafka is away.
pub fn ends_of(
    consumer: &BaseConsumer<QuietContext>,
    namespace: &Namespace,
    partitions: &BTreeMap<Topic, i32>,
) -> Result<Offsets, OffsetsError> {
    let mut list = TopicPartitionList::new();
    for (topic, count) in partitions {
        let name = namespace.topic(*topic);
        for number in 0..*count {
            // In this request an offset is a timestamp, and this one stands for the end.
            list.add_partition_offset(&name, number, Offset::End).map_err(refused)?;
        }
    }
    let found = consumer.offsets_for_times(list, TIME_LIMIT).map_err(refused)?;
    let mut ends = Offsets::new();
    for element in found.elements() {
        element.error().map_err(refused)?;
        let Some(topic) = namespace.topic_of(element.topic()) else { continue };
        if let Offset::Offset(end) = element.offset() {
            ends.insert(Partition { topic, number: element.partition() }, end);
        }
    }
    Ok(ends)
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn refused(error: KafkaError) -> OffsetsError {
    OffsetsError::Kafka(causes(&error).to_string())
}
