//! Prefixes a shop's names in shared servers, so that tenants and tests are isolated.

use std::fmt;
use std::str::FromStr;

use jangbogo_events::Topic;

/// Prefix of a shop's names in Kafka, Postgres, Redis and Elasticsearch. Empty where there is one shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespace(String);

/// The text is not valid in names of every server.
#[derive(Debug, thiserror::Error)]
#[error("invalid namespace {0:?}: use at most 24 of a-z, 0-9 and _, beginning with a letter")]
pub struct InvalidNamespace(String);

impl FromStr for Namespace {
    type Err = InvalidNamespace;

    fn from_str(name: &str) -> Result<Self, InvalidNamespace> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let has_valid_start = name.bytes().next().is_none_or(|byte| byte.is_ascii_lowercase());
        if name.len() > 24 || !name.bytes().all(allowed) || !has_valid_start {
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
    /// Name of a topic in Kafka: `order-completed`, or `shop.order-completed`.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        self.prefixed('.', topic.name())
    }

    /// The topic of a name in Kafka; none if it is outside the namespace.
    #[must_use]
    pub fn topic_of(&self, kafka_name: &str) -> Option<Topic> {
        if self.0.is_empty() {
            return Topic::from_name(kafka_name);
        }
        Topic::from_name(kafka_name.strip_prefix(self.0.as_str())?.strip_prefix('.')?)
    }

    /// Kafka consumer group of a processor or reactor.
    #[must_use]
    pub fn group(&self, name: &str) -> String {
        self.prefixed('.', name)
    }

    /// Dead-letter topic of a group: `dead-letter.recommendation`.
    #[must_use]
    pub fn dead_letter_topic(&self, group: &str) -> String {
        self.prefixed('.', &format!("dead-letter.{group}"))
    }

    /// Postgres database, one for each shop: `jangbogo`, or `jangbogo_shop`.
    #[must_use]
    pub fn database(&self) -> String {
        if self.0.is_empty() { "jangbogo".to_owned() } else { format!("jangbogo_{}", self.0) }
    }

    /// Redis key: `stats:hits`, or `shop:stats:hits`.
    #[must_use]
    pub fn redis_key(&self, key: &str) -> String {
        self.prefixed(':', key)
    }

    /// Elasticsearch index: `products`, or `shop-products`.
    #[must_use]
    pub fn index(&self, name: &str) -> String {
        self.prefixed('-', name)
    }

    fn prefixed(&self, separator: char, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}{separator}{name}", self.0) }
    }
}
