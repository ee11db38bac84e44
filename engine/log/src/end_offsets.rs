//! End offsets of partitions on demand; concurrent requests share one round trip (single-flight).

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

use crate::{Offsets, Partition, groupless};

const TIMEOUT: Duration = Duration::from_secs(2);
/// Capacity of the queue of requests.
const QUEUE: usize = 1024;

type Answer = Result<Arc<Offsets>, OffsetsError>;

/// End offsets could not be fetched.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OffsetsError {
    /// Kafka is unavailable, or rejects the request.
    #[error("cannot fetch end offsets from kafka: {0}")]
    Kafka(String),
    /// A topic, by its name in Kafka, does not exist.
    #[error("topic {0} does not exist; `jangbogo topology apply` creates it")]
    NoTopic(String),
    /// The requesting thread has ended.
    #[error("the service is stopping")]
    Stopping,
}

/// Fetches the end offsets of topics' partitions. Clones share one thread and its connection.
#[derive(Clone, Debug)]
pub struct EndOffsets {
    requests: mpsc::Sender<oneshot::Sender<Answer>>,
}

impl EndOffsets {
    /// Starts the requesting thread, which ends when the last clone is dropped.
    ///
    /// # Errors
    /// When the client's configuration is invalid.
    pub fn start(connections: &Connections, topics: BTreeSet<Topic>) -> Result<Self, KafkaError> {
        let consumer = groupless::config(connections, "end-offsets").create_with_context(QuietContext)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let fetcher =
            Fetcher { consumer, topics, namespace: connections.namespace.clone(), partitions: BTreeMap::new() };
        thread::spawn(move || fetcher.run(queue));
        Ok(Self { requests })
    }

    /// The end offsets at a time after this call, so that they include every record acknowledged before it.
    ///
    /// # Errors
    /// When Kafka is unavailable, or a topic does not exist.
    pub async fn now(&self) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.requests.send(reply).await.map_err(|_| OffsetsError::Stopping)?;
        answer.await.map_err(|_| OffsetsError::Stopping)?
    }
}

struct Fetcher {
    consumer: BaseConsumer<QuietContext>,
    topics: BTreeSet<Topic>,
    namespace: Namespace,
    partitions: BTreeMap<Topic, i32>,
}

impl Fetcher {
    fn run(mut self, mut queue: mpsc::Receiver<oneshot::Sender<Answer>>) {
        while let Some(first) = queue.blocking_recv() {
            let mut waiting = vec![first];
            // Later requests wait for the next answer: this one may be of a time before them.
            while let Ok(reply) = queue.try_recv() {
                waiting.push(reply);
            }
            let answer = self.fetch();
            if answer.is_err() {
                // Topics may have been recreated.
                self.partitions.clear();
            }
            for reply in waiting {
                let _ = reply.send(answer.clone());
            }
        }
    }

    fn fetch(&mut self) -> Answer {
        // Serves the client's own events, such as connection errors.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        if self.partitions.is_empty() {
            self.partitions = partition_counts(&self.consumer, &self.namespace, &self.topics)?;
        }
        end_offsets(&self.consumer, &self.namespace, &self.partitions).map(Arc::new)
    }
}

/// The number of partitions of each topic.
///
/// # Errors
/// When Kafka is unavailable, or a topic does not exist.
pub(crate) fn partition_counts(
    consumer: &BaseConsumer<QuietContext>,
    namespace: &Namespace,
    topics: &BTreeSet<Topic>,
) -> Result<BTreeMap<Topic, i32>, OffsetsError> {
    let names: Vec<String> = topics.iter().map(|topic| namespace.topic(*topic)).collect();
    let counts = groupless::partition_counts(consumer, &names, TIMEOUT).map_err(kafka_error)?;
    let with_count = topics.iter().zip(names).map(|(topic, name)| match counts.get(&name) {
        Some(count) => Ok((*topic, *count)),
        None => Err(OffsetsError::NoTopic(name)),
    });
    with_count.collect()
}

/// The end offset of each partition, in one request.
///
/// # Errors
/// When Kafka is unavailable.
pub(crate) fn end_offsets(
    consumer: &BaseConsumer<QuietContext>,
    namespace: &Namespace,
    partitions: &BTreeMap<Topic, i32>,
) -> Result<Offsets, OffsetsError> {
    let mut list = TopicPartitionList::new();
    for (topic, count) in partitions {
        let name = namespace.topic(*topic);
        for number in 0..*count {
            // In this request an offset is a timestamp, and this one means the end.
            list.add_partition_offset(&name, number, Offset::End).map_err(kafka_error)?;
        }
    }
    let response = consumer.offsets_for_times(list, TIMEOUT).map_err(kafka_error)?;
    let mut ends = Offsets::new();
    for element in response.elements() {
        element.error().map_err(kafka_error)?;
        let Some(topic) = namespace.topic_of(element.topic()) else { continue };
        if let Offset::Offset(end) = element.offset() {
            ends.insert(Partition { topic, number: element.partition() }, end);
        }
    }
    Ok(ends)
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub(crate) fn kafka_error(error: KafkaError) -> OffsetsError {
    OffsetsError::Kafka(causes(&error).to_string())
}
