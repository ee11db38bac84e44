//! The pipeline's topology, read from `topology.toml`: drawn as a graph, compared with the code and with Kafka, and
//! applied to Kafka.

mod check;
mod graph;
mod kafka;
mod live;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use jangbogo_events::Topic;
use serde::Deserialize;

pub use check::{DeclaredProcessor, DeclaredReactor, Mismatch, check};
pub use graph::{mermaid, text};
pub use kafka::{Applied, AppliedTopic, ApplyError, Outcome, apply, check_kafka};
pub use live::{ConfigChange, KafkaTopic};

/// `topology.toml` at build time.
const EMBEDDED: &str = include_str!("../../../topology.toml");

/// The pipeline: topics, their producers (ingress), the processors that fold them, and the services that answer
/// queries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    pub kafka: KafkaSettings,
    pub topics: Vec<TopicSpec>,
    pub ingress: Vec<IngressSpec>,
    pub processors: Vec<ProcessorSpec>,
    pub queries: Vec<QuerySpec>,
}

/// Settings that all topics share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Copies of each partition in topics that `apply` creates.
    pub replication_factor: u16,
    /// Largest value of an event, in bytes.
    pub max_value_bytes: u32,
    /// Largest value of a dead letter, in bytes.
    pub max_dead_letter_bytes: u32,
    /// Bytes for headers and batch framing on top of a value.
    pub framing_bytes: u32,
    pub dead_letter_partitions: u16,
}

/// A topic of the log: the facts of [`Topic`], and its retention.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    pub name: Topic,
    pub key: String,
    pub partitions: u16,
    pub retention: Retention,
    pub description: String,
}

/// Retention of events. Every table is a fold of the whole log, so there is one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// Neither age nor size removes an event.
    Forever,
}

/// A program that turns commands or facts into events.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSpec {
    pub name: String,
    pub description: String,
    /// The program that relays its events to Kafka; none if it produces them itself.
    pub via: Option<String>,
    pub emits: Vec<Topic>,
}

/// A program that folds the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorSpec {
    pub name: String,
    /// Its consumer group, without a namespace.
    pub group: String,
    pub description: String,
    pub reads: Vec<Topic>,
    pub projections: Vec<String>,
    #[serde(default)]
    pub reactors: Vec<String>,
    pub emits: Vec<Topic>,
    /// Names of views by the store that serves them.
    pub publishes: BTreeMap<Store, Vec<String>>,
}

/// A service that answers queries from views.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuerySpec {
    pub name: String,
    pub description: String,
    pub reads: Vec<String>,
}

/// The store that serves a view's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Not published: evaluated over the processor's rows.
    Postgres,
    Redis,
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

/// Failure to read a topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error("cannot read the topology {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    /// The text is not a topology; the source has line and column.
    #[error("invalid topology in {origin}")]
    Format {
        /// The file's path, or that it is the embedded one.
        origin: String,
        source: Box<toml::de::Error>,
    },
}

impl Topology {
    /// The topology that was embedded when the program was built.
    ///
    /// # Errors
    /// When it cannot be parsed, which a test excludes.
    pub fn embedded() -> Result<Self, TopologyError> {
        Self::parse(EMBEDDED, "the embedded topology.toml")
    }

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

    fn processor(&self, name: &str) -> Option<&ProcessorSpec> {
        self.processors.iter().find(|processor| processor.name == name)
    }

    /// Names of a topic's writers: ingress, then processors, in the file's order.
    fn writers(&self, topic: Topic) -> Vec<&str> {
        let ingress = self.ingress.iter().filter(|ingress| ingress.emits.contains(&topic));
        let processors = self.processors.iter().filter(|processor| processor.emits.contains(&topic));
        ingress
            .map(|ingress| ingress.name.as_str())
            .chain(processors.map(|processor| processor.name.as_str()))
            .collect()
    }

    /// Names of the processors that fold a topic, in the file's order.
    fn readers(&self, topic: Topic) -> Vec<&str> {
        let readers = self.processors.iter().filter(|processor| processor.reads.contains(&topic));
        readers.map(|processor| processor.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_telemetry::causes;

    use super::*;

    #[test]
    fn the_embedded_topology_has_every_topic() {
        let topology = Topology::embedded().unwrap();
        let mut names: Vec<Topic> = topology.topics.iter().map(|topic| topic.name).collect();
        names.sort();
        assert_eq!(names, Topic::ALL);
    }

    #[test]
    fn unknown_values_and_fields_are_refused_with_their_position() {
        let text = EMBEDDED.replacen("retention = \"forever\"", "retention = \"7 days\"", 1);
        let error = Topology::parse(&text, "mine.toml").unwrap_err();
        let message = causes(&error).to_string();
        assert!(message.starts_with("invalid topology in mine.toml: TOML parse error at line "), "{message}");
        assert!(message.contains("unknown variant `7 days`, expected `forever`"), "{message}");

        let text = EMBEDDED.replacen("key = ", "keys = ", 1);
        let message = causes(&Topology::parse(&text, "mine.toml").unwrap_err()).to_string();
        assert!(message.contains("unknown field `keys`"), "{message}");

        let text = EMBEDDED.replacen("\"order-completed\"", "\"orders\"", 1);
        let message = causes(&Topology::parse(&text, "mine.toml").unwrap_err()).to_string();
        assert!(message.contains("unknown variant `orders`, expected one of `catalog-events`"), "{message}");
    }
}
