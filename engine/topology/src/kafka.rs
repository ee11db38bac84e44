//! Creates and configures Kafka's topics from the topology, and compares them with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::live::{ConfigChange, KafkaTopic, KafkaTopicDifference, LiveTopic, compare};
use super::{Mismatch, Topology};

/// Timeout of an admin request.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// Timeout of metadata requests: shorter, so that an unreachable server is reported soon.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// Interval at which leaders of new partitions are polled.
const LEADERS_INTERVAL: Duration = Duration::from_millis(50);

type Admin = AdminClient<QuietContext>;

/// Result of [`apply`], in the topology's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Topics of the log, then dead-letter topics.
    pub topics: Vec<AppliedTopic>,
}

/// Result of [`apply`] for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedTopic {
    pub topic: KafkaTopic,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created,
    Changed(Vec<ConfigChange>),
    Unchanged,
}

/// Failure to apply or to compare the topology.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Kafka is unavailable or refused a request as a whole.
    #[error(
        "kafka at {servers} failed to {request}: check that it is up (`jangbogo stack status`) and the address \
         (--kafka or KAFKA_BOOTSTRAP_SERVERS)"
    )]
    Request { servers: String, request: &'static str, source: KafkaError },
    /// A partition count differs. No topic was changed.
    #[error(
        "partition counts never change, because keys would move to other partitions and lose their order: {0}; write \
         the live count in topology.toml, or use another namespace. Nothing was changed"
    )]
    Partitions(String),
    /// Kafka refused single topics; earlier ones may have been created or changed.
    #[error("kafka refused to {request} {topics}")]
    Refused {
        request: &'static str,
        /// The refused topics, each with its error code.
        topics: String,
    },
}

/// Creates missing topics in the connections' namespace and alters configurations that differ. Idempotent.
///
/// # Errors
/// When Kafka is unavailable or refuses, or when a topic has another number of partitions: then nothing is changed.
pub async fn apply(topology: &Topology, connections: &Connections) -> Result<Applied, ApplyError> {
    let kafka = Kafka::connect(connections)?;
    let topics = topology.kafka_topics(&connections.namespace);
    let live = kafka.live_topics(&topics).await?;

    let mut differing_partitions = Vec::new();
    let mut to_create = Vec::new();
    let mut to_alter = Vec::new();
    let mut outcomes = Vec::new();
    for topic in &topics {
        let live = live.get(&topic.name);
        outcomes.push(match compare(topic, live) {
            Some(KafkaTopicDifference::Partitions { live }) => {
                differing_partitions.push(format!("{} has {live}, not {}", topic.name, topic.partitions));
                Outcome::Unchanged
            }
            Some(KafkaTopicDifference::Missing) => {
                to_create.push(topic);
                Outcome::Created
            }
            Some(KafkaTopicDifference::Config(changes)) => {
                to_alter.push((topic, live.map(|live| live.overrides.clone()).unwrap_or_default()));
                Outcome::Changed(changes)
            }
            None => Outcome::Unchanged,
        });
    }
    if !differing_partitions.is_empty() {
        return Err(ApplyError::Partitions(differing_partitions.join(", ")));
    }
    kafka.create(&to_create).await?;
    kafka.alter(&to_alter).await?;
    let topics = topics.into_iter().zip(outcomes).map(|(topic, outcome)| AppliedTopic { topic, outcome }).collect();
    Ok(Applied { topics })
}

/// Compares the topology with the live cluster without changing it. Empty when they agree.
///
/// # Errors
/// When Kafka is unavailable or refuses.
pub async fn check_kafka(topology: &Topology, connections: &Connections) -> Result<Vec<Mismatch>, ApplyError> {
    let topics = topology.kafka_topics(&connections.namespace);
    let live = Kafka::connect(connections)?.live_topics(&topics).await?;
    let mut mismatches = Vec::new();
    for topic in &topics {
        let name = &topic.name;
        let remedy = "run `jangbogo topology apply`".to_owned();
        match compare(topic, live.get(name)) {
            None => {}
            Some(KafkaTopicDifference::Missing) => {
                mismatches.push(Mismatch { problem: format!("kafka has no topic {name}"), remedy });
            }
            Some(KafkaTopicDifference::Partitions { live }) => mismatches.push(Mismatch {
                problem: format!("topic {name} has {live} partitions in kafka, {} in topology.toml", topic.partitions),
                remedy: "write the live count in topology.toml: partition counts never change".to_owned(),
            }),
            Some(KafkaTopicDifference::Config(changes)) => {
                for change in changes {
                    let ConfigChange { key, from, to } = change;
                    let problem = format!("topic {name} has {key} = {from} in kafka, {to} in topology.toml");
                    mismatches.push(Mismatch { problem, remedy: remedy.clone() });
                }
            }
        }
    }
    Ok(mismatches)
}

struct Kafka {
    servers: String,
    admin: Arc<Admin>,
}

impl Kafka {
    fn connect(connections: &Connections) -> Result<Self, ApplyError> {
        let servers = connections.kafka.clone();
        match connections.kafka_client("topology").create_with_context::<_, Admin>(QuietContext) {
            Ok(admin) => Ok(Self { servers, admin: Arc::new(admin) }),
            Err(source) => Err(ApplyError::Request { servers, request: "accept a client", source }),
        }
    }

    fn failed(&self, request: &'static str) -> impl FnOnce(KafkaError) -> ApplyError {
        let servers = self.servers.clone();
        move |source| ApplyError::Request { servers, request, source }
    }

    /// State of those topics that exist, by name.
    async fn live_topics(&self, topics: &[KafkaTopic]) -> Result<HashMap<String, LiveTopic>, ApplyError> {
        let admin = Arc::clone(&self.admin);
        let listing = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, ANSWER_LIMIT)).await;
        let metadata = listing.unwrap_or(Err(KafkaError::Canceled)).map_err(self.failed("list its topics"))?;
        let mut live: HashMap<String, LiveTopic> = HashMap::new();
        for listed in metadata.topics() {
            if topics.iter().any(|topic| topic.name == listed.name()) {
                let topic = LiveTopic { partitions: listed.partitions().len(), ..LiveTopic::default() };
                live.insert(listed.name().to_owned(), topic);
            }
        }
        if live.is_empty() {
            return Ok(live);
        }
        let specifiers: Vec<ResourceSpecifier<'_>> = live.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = self.admin.describe_configs(&specifiers, &options()).await;
        let described = described.map_err(self.failed("describe its topics"))?;
        for resource in described.into_iter().flatten() {
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            if let Some(topic) = live.get_mut(name) {
                topic.config = entries(&resource, |_| true);
                topic.overrides = entries(&resource, |source| *source == ConfigSource::DynamicTopic);
            }
        }
        Ok(live)
    }

    async fn create(&self, topics: &[&KafkaTopic]) -> Result<(), ApplyError> {
        if topics.is_empty() {
            return Ok(());
        }
        let mut new_topics = Vec::new();
        for topic in topics {
            let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            let replication = TopicReplication::Fixed(i32::from(topic.replication_factor));
            let mut new_topic = NewTopic::new(&topic.name, partitions, replication);
            for (key, value) in &topic.config {
                new_topic = new_topic.set(key, value);
            }
            new_topics.push(new_topic);
        }
        let results = self.admin.create_topics(&new_topics, &options()).await;
        let results = results.map_err(self.failed("create topics"))?;
        // A concurrent `apply` that creates the same topic creates it alike.
        let refused = results.into_iter().filter_map(Result::err);
        refusals("create", refused.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists))?;
        let partitions =
            topics.iter().flat_map(|topic| (0..topic.partitions).map(|number| (topic.name.clone(), number)));
        self.wait_for_leaders(partitions.collect()).await
    }

    /// A topic exists before its partitions have leaders: until then requests of clients are refused.
    async fn wait_for_leaders(&self, partitions: Vec<(String, usize)>) -> Result<(), ApplyError> {
        let admin = Arc::clone(&self.admin);
        let waiting = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            for (topic, number) in partitions {
                let number = i32::try_from(number).unwrap_or(i32::MAX);
                // Only a leader answers this, and the client sends it only once its metadata has the partition.
                let ask_leader = || {
                    admin.inner().fetch_metadata(Some(&topic), ANSWER_LIMIT)?;
                    admin.inner().fetch_watermarks(&topic, number, ANSWER_LIMIT)
                };
                while let Err(error) = ask_leader() {
                    if began.elapsed() > REQUEST_LIMIT {
                        return Err(error);
                    }
                    std::thread::sleep(LEADERS_INTERVAL);
                }
            }
            Ok(())
        });
        waiting.await.unwrap_or(Err(KafkaError::Canceled)).map_err(self.failed("elect leaders of the created topics"))
    }

    /// Altering replaces all of a topic's overrides, so those that the topology does not set are sent along.
    async fn alter(&self, topics: &[(&KafkaTopic, BTreeMap<String, String>)]) -> Result<(), ApplyError> {
        if topics.is_empty() {
            return Ok(());
        }
        let mut alterations = Vec::new();
        for (topic, overrides) in topics {
            let mut alteration = AlterConfig::new(ResourceSpecifier::Topic(&topic.name));
            for (key, value) in overrides {
                alteration = alteration.set(key, value);
            }
            for (key, value) in &topic.config {
                alteration = alteration.set(key, value);
            }
            alterations.push(alteration);
        }
        let results = self.admin.alter_configs(&alterations, &options()).await;
        let results = results.map_err(self.failed("change topics' configuration"))?;
        let refused = results.into_iter().filter_map(Result::err).map(|(specifier, code)| match specifier {
            OwnedResourceSpecifier::Topic(name) | OwnedResourceSpecifier::Group(name) => (name, code),
            OwnedResourceSpecifier::Broker(id) => (format!("broker {id}"), code),
        });
        refusals("change the configuration of", refused)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_LIMIT)).operation_timeout(Some(REQUEST_LIMIT))
}

fn entries(resource: &ConfigResource, includes: impl Fn(&ConfigSource) -> bool) -> BTreeMap<String, String> {
    let entries = resource.entries.iter().filter(|entry| includes(&entry.source));
    entries.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

fn refusals(
    request: &'static str,
    refused: impl Iterator<Item = (String, RDKafkaErrorCode)>,
) -> Result<(), ApplyError> {
    let topics: Vec<String> = refused.map(|(topic, code)| format!("{topic} ({code})")).collect();
    if topics.is_empty() { Ok(()) } else { Err(ApplyError::Refused { request, topics: topics.join(", ") }) }
}
