//! The whole pipeline on one page: `topology.toml`, what it says, and whether code and Kafka agree.

mod check;
mod graph;
mod kafka;
mod live;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use jangbogo_events::Topic;
use serde::Deserialize;

pub use check::{DeclaredProcessor, Mismatch, check};
pub use graph::{mermaid, text};
pub use kafka::{Applied, AppliedTopic, ApplyError, Outcome, apply, check_kafka};
pub use live::{ConfigChange, KafkaTopic, KafkaTopicDifference, LiveTopic, compare};

/// `topology.toml` as it was when the program was built.
const EMBEDDED: &str = include_str!("../../../../topology.toml");

/// The pipeline: topics, who writes them, who folds them, who serves the result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// What all topics share.
    pub kafka: KafkaSettings,
    /// The topics of the log.
    pub topics: Vec<TopicSpec>,
    /// Who turns commands and facts into events.
    pub ingress: Vec<IngressSpec>,
    /// Who folds the log.
    pub processors: Vec<ProcessorSpec>,
    /// Who serves what was folded.
    pub queries: Vec<QuerySpec>,
}

/// What all topics share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Copies of each partition, in topics that are created.
    pub replication_factor: u16,
    /// The largest value of an event.
    pub max_value_bytes: u32,
    /// The largest value of a dead letter.
    pub max_dead_letter_bytes: u32,
    /// What headers and batch framing may take on top of a value.
    pub framing_bytes: u32,
    /// Partitions of each dead-letter topic.
    pub dead_letter_partitions: u16,
}

/// A topic of the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    /// Its name without a namespace.
    pub name: Topic,
    /// What orders and partitions its events, for people.
    pub key: String,
    /// How many partitions it has, for ever.
    pub partitions: u16,
    /// How long its events are kept.
    pub retention: Retention,
    /// What stands in it, for people.
    pub description: String,
}

/// How long events are kept: everything is a fold of the log, so there is one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// Neither age nor size removes an event.
    Forever,
}

/// Who turns commands and facts into events.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSpec {
    /// The program's name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The program that relays its events to Kafka, if it does not produce them itself.
    pub via: Option<String>,
    /// The topics its events stand in.
    pub emits: Vec<Topic>,
}

/// Who folds the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorSpec {
    /// The program's name.
    pub name: String,
    /// Its consumer group, without a namespace.
    pub group: String,
    /// What it is for, for people.
    pub description: String,
    /// The topics it folds.
    pub reads: Vec<Topic>,
    /// The projections it hosts.
    pub projections: Vec<String>,
    /// What it hosts that has effects.
    #[serde(default)]
    pub reactors: Vec<String>,
    /// The topics its reactors write.
    pub emits: Vec<Topic>,
    /// Its views, by the store they are served from.
    pub publishes: BTreeMap<Store, Vec<String>>,
}

/// Who serves what was folded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuerySpec {
    /// The program's name.
    pub name: String,
    /// What it serves, for people.
    pub description: String,
    /// The processors whose views it reads.
    pub reads: Vec<String>,
}

/// Where a view's values are served from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The processor's own rows.
    Postgres,
    /// A copy in Redis.
    Redis,
    /// A copy in Elasticsearch.
    Elasticsearch,
}

impl fmt::Display for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Store::Postgres => "Postgres",
            Store::Redis => "Redis",
            Store::Elasticsearch => "Elasticsearch",
        })
    }
}

/// A topology that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file cannot be opened.
    #[error("cannot read the topology {path}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is no topology; the source says where and why.
    #[error("{origin} is not a topology")]
    Format {
        /// Which file, or that it is the one within the program.
        origin: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

impl Topology {
    /// The topology this program was built with.
    ///
    /// # Errors
    /// When it cannot be parsed; a test makes sure that it can.
    pub fn embedded() -> Result<Self, TopologyError> {
        Self::parse(EMBEDDED, "the topology.toml within this program")
    }

    /// A topology from a file.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self, TopologyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TopologyError::File { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, origin: &str) -> Result<Self, TopologyError> {
        toml::from_str(text)
            .map_err(|source| TopologyError::Format { origin: origin.to_owned(), source: Box::new(source) })
    }

    /// The processor of that name.
    #[must_use]
    pub fn processor(&self, name: &str) -> Option<&ProcessorSpec> {
        self.processors.iter().find(|processor| processor.name == name)
    }

    /// Who writes a topic: ingress, then processors, in the order of the page.
    #[must_use]
    pub fn writers(&self, topic: Topic) -> Vec<&str> {
        let ingress = self.ingress.iter().filter(|ingress| ingress.emits.contains(&topic));
        let processors = self.processors.iter().filter(|processor| processor.emits.contains(&topic));
        ingress
            .map(|ingress| ingress.name.as_str())
            .chain(processors.map(|processor| processor.name.as_str()))
            .collect()
    }

    /// Which processors fold a topic, in the order of the page.
    #[must_use]
    pub fn readers(&self, topic: Topic) -> Vec<&str> {
        let readers = self.processors.iter().filter(|processor| processor.reads.contains(&topic));
        readers.map(|processor| processor.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangbogo_telemetry::causes;

    #[test]
    fn the_embedded_topology_has_every_topic() {
        let topology = Topology::embedded().unwrap();
        let mut names: Vec<Topic> = topology.topics.iter().map(|topic| topic.name).collect();
        names.sort();
        assert_eq!(names, Topic::ALL);
    }

    #[test]
    fn what_it_does_not_know_is_refused_with_its_place() {
        let text = EMBEDDED.replacen("retention = \"forever\"", "retention = \"7 days\"", 1);
        let error = Topology::parse(&text, "mine.toml").unwrap_err();
        let message = causes(&error).to_string();
        assert!(message.starts_with("mine.toml is not a topology: TOML parse error at line "), "{message}");
        assert!(message.contains("unknown variant `7 days`, expected `forever`"), "{message}");

        let text = EMBEDDED.replacen("key = ", "keys = ", 1);
        let message = causes(&Topology::parse(&text, "mine.toml").unwrap_err()).to_string();
        assert!(message.contains("unknown field `keys`"), "{message}");

        let text = EMBEDDED.replacen("\"order-completed\"", "\"orders\"", 1);
        let message = causes(&Topology::parse(&text, "mine.toml").unwrap_err()).to_string();
        assert!(message.contains("unknown variant `orders`, expected one of `catalog-events`"), "{message}");
    }
}
