//! A shop's name in shared servers: tests and tenants never meet.

use std::fmt;
use std::str::FromStr;

use jangbogo_events::Topic;

/// The prefix of everything one shop owns in Kafka, Postgres, Redis and Elasticsearch. Empty for the only shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespace(String);

/// A namespace that cannot be part of every server's names.
#[derive(Debug, thiserror::Error)]
#[error("a namespace must be at most 24 of a-z, 0-9 and _, beginning with a letter; {0:?} is not")]
pub struct InvalidNamespace(String);

impl FromStr for Namespace {
    type Err = InvalidNamespace;

    fn from_str(name: &str) -> Result<Self, InvalidNamespace> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins_well = name.bytes().next().is_none_or(|byte| byte.is_ascii_lowercase());
        if name.len() > 24 || !name.bytes().all(allowed) || !begins_well {
            return Err(InvalidNamespace(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Namespace {
    /// The Kafka topic: `order-completed`, or `shop.order-completed`.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        self.prefixed('.', topic.name())
    }

    /// The topic that a Kafka name stands for in this namespace.
    #[must_use]
    pub fn topic_of(&self, kafka_name: &str) -> Option<Topic> {
        if self.0.is_empty() {
            return Topic::from_name(kafka_name);
        }
        Topic::from_name(kafka_name.strip_prefix(self.0.as_str())?.strip_prefix('.')?)
    }

    /// The Kafka consumer group of a processor or reactor.
    #[must_use]
    pub fn group(&self, name: &str) -> String {
        self.prefixed('.', name)
    }

    /// The topic of a group's dead letters: `dead-letter.recommendation`.
    #[must_use]
    pub fn dead_letter_topic(&self, group: &str) -> String {
        self.prefixed('.', &format!("dead-letter.{group}"))
    }

    /// The Postgres database: one for each shop.
    #[must_use]
    pub fn database(&self) -> String {
        if self.0.is_empty() { "jangbogo".to_owned() } else { format!("jangbogo_{}", self.0) }
    }

    /// The Redis key.
    #[must_use]
    pub fn redis_key(&self, key: &str) -> String {
        self.prefixed(':', key)
    }

    /// The Elasticsearch index.
    #[must_use]
    pub fn index(&self, name: &str) -> String {
        self.prefixed('-', name)
    }

    fn prefixed(&self, separator: char, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}{separator}{name}", self.0) }
    }
}
