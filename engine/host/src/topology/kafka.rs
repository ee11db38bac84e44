//! Making Kafka's topics what the topology says, and checking that they are.

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

/// How long one request to Kafka may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// How long the first answer may take: a server that is away is told soon.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// How often it is asked whether new topics have leaders.
const LEADERS_INTERVAL: Duration = Duration::from_millis(50);

type Admin = AdminClient<QuietContext>;

/// What [`apply`] did to each topic, in the topology's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Every topic, those of the log first.
    pub topics: Vec<AppliedTopic>,
}

/// What [`apply`] did to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedTopic {
    /// The topic as it is now.
    pub topic: KafkaTopic,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Created,
    /// Its configuration was changed.
    Changed(Vec<ConfigChange>),
    /// It was as it should be.
    Unchanged,
}

/// Kafka's topics could not be made what the topology says.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Kafka did not answer, or refused a request as a whole.
    #[error(
        "kafka at {servers} did not {request}; see that it is up (`jangbogo stack status`) and that the address is right \
         (--kafka or KAFKA_BOOTSTRAP_SERVERS)"
    )]
    Request {
        /// Its addresses.
        servers: String,
        /// What was asked.
        request: &'static str,
        /// What it said.
        source: KafkaError,
    },
    /// A partition count differs. Nothing was changed.
    #[error(
        "partition counts never change, because keys would move to other partitions and lose their order: {0}; write \
         the live count in topology.toml, or use another namespace. Nothing was changed"
    )]
    Partitions(String),
    /// Kafka refused single topics; those before them may have been made or changed.
    #[error("kafka refused to {request} {topics}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// Each topic and the reason.
        topics: String,
    },
}

/// Creates the topics that are missing in the connections' namespace and mends configurations that differ. Doing it
/// twice changes nothing more.
///
/// # Errors
/// When Kafka is away or refuses, or when a topic has another number of partitions: then nothing is changed.
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

/// Compares the topology with the live cluster; changes nothing. Nothing returned means that they agree.
///
/// # Errors
/// When Kafka is away or refuses.
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
            Err(source) => Err(ApplyError::Request { servers, request: "take a client", source }),
        }
    }

    fn failed(&self, request: &'static str) -> impl FnOnce(KafkaError) -> ApplyError {
        let servers = self.servers.clone();
        move |source| ApplyError::Request { servers, request, source }
    }

    /// Those of the topics that exist.
    async fn live_topics(&self, topics: &[KafkaTopic]) -> Result<HashMap<String, LiveTopic>, ApplyError> {
        let admin = Arc::clone(&self.admin);
        let listing = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, ANSWER_LIMIT)).await;
        let metadata = listing.unwrap_or(Err(KafkaError::Canceled)).map_err(self.failed("list its topics"))?;
        let mut live: HashMap<String, LiveTopic> = HashMap::new();
        for found in metadata.topics() {
            if topics.iter().any(|topic| topic.name == found.name()) {
                let topic = LiveTopic { partitions: found.partitions().len(), ..LiveTopic::default() };
                live.insert(found.name().to_owned(), topic);
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
        // Someone else who creates the same topic at the same moment creates what we would have.
        let refused = results.into_iter().filter_map(Result::err);
        refusals("create", refused.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists))?;
        let partitions =
            topics.iter().flat_map(|topic| (0..topic.partitions).map(|number| (topic.name.clone(), number)));
        self.wait_for_leaders(partitions.collect()).await
    }

    /// A topic is created before its leaders know of it: whoever came next would be refused.
    async fn wait_for_leaders(&self, partitions: Vec<(String, usize)>) -> Result<(), ApplyError> {
        let admin = Arc::clone(&self.admin);
        let waiting = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            for (topic, number) in partitions {
                let number = i32::try_from(number).unwrap_or(i32::MAX);
                // What only a leader answers, and what the client asks of it only once it knows of the partition.
                let led = || {
                    admin.inner().fetch_metadata(Some(&topic), ANSWER_LIMIT)?;
                    admin.inner().fetch_watermarks(&topic, number, ANSWER_LIMIT)
                };
                while let Err(error) = led() {
                    if began.elapsed() > REQUEST_LIMIT {
                        return Err(error);
                    }
                    std::thread::sleep(LEADERS_INTERVAL);
                }
            }
            Ok(())
        });
        waiting.await.unwrap_or(Err(KafkaError::Canceled)).map_err(self.failed("lead the topics it has created"))
    }

    /// Altering replaces all of a topic's overrides, so those that are not ours are sent along.
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

fn entries(resource: &ConfigResource, wanted: impl Fn(&ConfigSource) -> bool) -> BTreeMap<String, String> {
    let wanted = resource.entries.iter().filter(|entry| wanted(&entry.source));
    wanted.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

fn refusals(
    request: &'static str,
    refused: impl Iterator<Item = (String, RDKafkaErrorCode)>,
) -> Result<(), ApplyError> {
    let topics: Vec<String> = refused.map(|(topic, code)| format!("{topic} ({code})")).collect();
    if topics.is_empty() { Ok(()) } else { Err(ApplyError::Refused { request, topics: topics.join(", ") }) }
}
