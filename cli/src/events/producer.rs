//! Produces events to Kafka with `acks=all` and counts the acknowledged ones.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, bail};
use jangbogo_events::{Event, EventType, Topic};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::{QuietContext, headers};
use jangbogo_platform::namespace::Namespace;
use rdkafka::message::Message as _;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

/// Maximum number of unacknowledged records: bounds memory, deep enough for full batches.
const MAX_IN_FLIGHT: usize = 5_000;

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

pub struct EventProducer {
    producer: FutureProducer<QuietContext>,
    namespace: Namespace,
    in_flight: VecDeque<(EventType, DeliveryFuture)>,
    acknowledged: BTreeMap<EventType, u64>,
}

impl EventProducer {
    /// Connects, and checks that the topics exist: a producer would wait for a missing one for minutes.
    pub async fn connect(connections: &Connections, client_id: &str, topics: &[Topic]) -> anyhow::Result<Self> {
        let mut config = connections.kafka_producer(client_id);
        config.set("message.timeout.ms", "60000");
        let producer: FutureProducer<QuietContext> =
            config.create_with_context(QuietContext).context("cannot create a Kafka producer")?;
        let client = producer.clone();
        let metadata =
            tokio::task::spawn_blocking(move || client.client().fetch_metadata(None, METADATA_TIMEOUT)).await?;
        let metadata = metadata.with_context(|| format!("cannot reach Kafka at {}", connections.kafka))?;
        for &topic in topics {
            let name = connections.namespace.topic(topic);
            if !metadata.topics().iter().any(|found| found.name() == name) {
                bail!("the topic {name} does not exist at {}; `jangbogo topology apply` creates it", connections.kafka);
            }
        }
        Ok(Self {
            producer,
            namespace: connections.namespace.clone(),
            in_flight: VecDeque::new(),
            acknowledged: BTreeMap::new(),
        })
    }

    /// Sends an event; waits for the oldest acknowledgement when too many are in flight (backpressure).
    pub async fn send(&mut self, event: &Event) -> anyhow::Result<()> {
        let encoded = event.encode().with_context(|| format!("cannot write event {}", event.envelope.id))?;
        let topic = self.namespace.topic(encoded.topic);
        let record = FutureRecord::to(&topic).key(&encoded.key).payload(&encoded.value).headers(headers(&encoded));
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            self.await_oldest().await?;
        }
        let delivery = self
            .producer
            .send_result(record)
            .map_err(|(error, _)| error)
            .with_context(|| format!("cannot send event {} to {topic}", event.envelope.id))?;
        self.in_flight.push_back((event.data.event_type(), delivery));
        Ok(())
    }

    /// Waits for every acknowledgement. Returns the number of events of each type.
    pub async fn finish(mut self) -> anyhow::Result<BTreeMap<EventType, u64>> {
        while !self.in_flight.is_empty() {
            self.await_oldest().await?;
        }
        Ok(self.acknowledged)
    }

    async fn await_oldest(&mut self) -> anyhow::Result<()> {
        let Some((event_type, delivery)) = self.in_flight.pop_front() else { return Ok(()) };
        let delivered = delivery.await.context("the Kafka producer stopped")?;
        if let Err((error, record)) = delivered {
            let partition = format!("{} (partition {})", record.topic(), record.partition());
            return Err(error).with_context(|| format!("kafka rejected a {} on {partition}", event_type.name()));
        }
        *self.acknowledged.entry(event_type).or_default() += 1;
        Ok(())
    }
}
