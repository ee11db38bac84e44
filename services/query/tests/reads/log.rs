//! A shop's own topics in Kafka.

use chrono::{DateTime, Utc};
use jangbogo_events::{Envelope, Event, Payload, Topic};
use jangbogo_log::Partition;
use jangbogo_platform::config::Connections;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde_json::Value;

use crate::shop::finish;

const TOPICS: [Topic; 3] = [Topic::ConversationMessageCreated, Topic::PreferenceEvents, Topic::RecommendationEvents];

pub struct Log {
    connections: Connections,
    producer: FutureProducer,
    admin: AdminClient<DefaultClientContext>,
}

/// An event as a reactor or the gateway would write it.
pub fn event<P: Payload + serde::de::DeserializeOwned>(id: &str, time: DateTime<Utc>, data: Value) -> Event {
    Event::new(Envelope::new(id, "test", time), serde_json::from_value::<P>(data).unwrap())
}

impl Log {
    pub fn open(connections: &Connections) -> Self {
        let producer = connections.kafka_producer("test").create().unwrap();
        let admin = connections.kafka_client("test").create().unwrap();
        Self { connections: connections.clone(), producer, admin }
    }

    pub async fn create_topics(&self) {
        let names = self.names();
        let topics: Vec<_> = names.iter().map(|name| NewTopic::new(name, 2, TopicReplication::Fixed(1))).collect();
        let created = self.admin.create_topics(&topics, &AdminOptions::new()).await.unwrap();
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    }

    /// Returns the record's position.
    pub async fn append(&self, event: &Event) -> (Partition, i64) {
        let encoded = event.encode().unwrap();
        let mut headers = OwnedHeaders::new();
        for (key, value) in &encoded.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let topic = self.connections.namespace.topic(encoded.topic);
        let record = FutureRecord::to(&topic).key(&encoded.key).payload(&encoded.value).headers(headers);
        let delivered = self.producer.send(record, Timeout::Never).await.unwrap();
        (Partition { topic: encoded.topic, number: delivered.partition }, delivered.offset)
    }

    fn names(&self) -> [String; 3] {
        TOPICS.map(|topic| self.connections.namespace.topic(topic))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let names = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        finish(async { drop(self.admin.delete_topics(&names, &AdminOptions::new()).await.unwrap()) });
    }
}
