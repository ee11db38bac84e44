//! The topics that Kafka should have, compared with those it has.

use std::collections::BTreeMap;

use jangbogo_platform::namespace::Namespace;

use super::Topology;

/// A topic's target state in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTopic {
    pub name: String,
    pub partitions: usize,
    /// Copies of each partition, used when the topic is created.
    pub replication_factor: u16,
    /// Entries set for the topic; all others are the broker's defaults.
    pub config: BTreeMap<&'static str, String>,
}

/// A topic's actual state in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveTopic {
    pub(super) partitions: usize,
    pub(super) config: BTreeMap<String, String>,
    /// Entries of `config` set for this topic; the others are the broker's defaults.
    pub(super) overrides: BTreeMap<String, String>,
}

/// A configuration entry that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    pub key: String,
    pub from: String,
    pub to: String,
}

/// Difference between a topic's target and actual state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KafkaTopicDifference {
    Missing,
    /// Another number of partitions, which cannot be changed.
    Partitions {
        live: usize,
    },
    Config(Vec<ConfigChange>),
}

/// Compares a topic's target state with the live one.
pub(super) fn compare(topic: &KafkaTopic, live: Option<&LiveTopic>) -> Option<KafkaTopicDifference> {
    let Some(live) = live else { return Some(KafkaTopicDifference::Missing) };
    if live.partitions != topic.partitions {
        return Some(KafkaTopicDifference::Partitions { live: live.partitions });
    }
    let mut changes = Vec::new();
    for (key, target) in &topic.config {
        let found = live.config.get(*key);
        if found != Some(target) {
            let from = found.cloned().unwrap_or_else(|| "unset".to_owned());
            changes.push(ConfigChange { key: (*key).to_owned(), from, to: target.clone() });
        }
    }
    if changes.is_empty() { None } else { Some(KafkaTopicDifference::Config(changes)) }
}

impl Topology {
    /// Every topic of a shop in Kafka: those of the log, then a dead-letter topic for each group.
    #[must_use]
    pub fn kafka_topics(&self, namespace: &Namespace) -> Vec<KafkaTopic> {
        let topic = |name: String, partitions: u16, max_value_bytes: u32| KafkaTopic {
            name,
            partitions: usize::from(partitions),
            replication_factor: self.kafka.replication_factor,
            config: self.topic_config(max_value_bytes),
        };
        let log = self
            .topics
            .iter()
            .map(|spec| topic(namespace.topic(spec.name), spec.partitions, self.kafka.max_value_bytes));
        let dead_letters = self.processors.iter().map(|processor| {
            let name = namespace.dead_letter_topic(&processor.group);
            topic(name, self.kafka.dead_letter_partitions, self.kafka.max_dead_letter_bytes)
        });
        log.chain(dead_letters).collect()
    }

    fn topic_config(&self, max_value_bytes: u32) -> BTreeMap<&'static str, String> {
        let max_message_bytes = u64::from(max_value_bytes) + u64::from(self.kafka.framing_bytes);
        let mut config = BTreeMap::from([
            ("cleanup.policy", "delete".to_owned()),
            // `Retention::Forever`.
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("max.message.bytes", max_message_bytes.to_string()),
        ]);
        // With acks=all, an acknowledged event then survives the loss of any one broker.
        if self.kafka.replication_factor >= 3 {
            config.insert("min.insync.replicas", (self.kafka.replication_factor - 1).to_string());
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Topic;

    use super::*;

    fn live(topic: &KafkaTopic) -> LiveTopic {
        let config: BTreeMap<String, String> =
            topic.config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        LiveTopic { partitions: topic.partitions, overrides: config.clone(), config }
    }

    #[test]
    fn topics_carry_the_namespace_and_dead_letters_are_larger() {
        let topology = Topology::embedded().unwrap();
        let topics = topology.kafka_topics(&"shop".parse().unwrap());
        assert_eq!(topics.len(), Topic::ALL.len() + topology.processors.len());
        assert_eq!(topics[0].name, "shop.catalog-events");
        assert_eq!((topics[0].partitions, topics[0].config["max.message.bytes"].as_str()), (6, "5242880"));
        assert_eq!(topics[0].config["retention.ms"], "-1");
        let dead_letters = topics.last().unwrap();
        assert_eq!(dead_letters.name, "shop.dead-letter.es-sync");
        assert_eq!((dead_letters.partitions, dead_letters.config["max.message.bytes"].as_str()), (1, "9437184"));
    }

    #[test]
    fn producers_may_send_what_the_largest_topic_takes() {
        let topics = Topology::embedded().unwrap().kafka_topics(&Namespace::default());
        let largest = topics.iter().map(|topic| topic.config["max.message.bytes"].parse::<u64>().unwrap()).max();
        assert_eq!(largest.unwrap().to_string(), jangbogo_platform::config::MAX_RECORD_BYTES);
    }

    #[test]
    fn with_three_copies_two_must_acknowledge() {
        let mut topology = Topology::embedded().unwrap();
        topology.kafka.replication_factor = 3;
        assert_eq!(topology.kafka_topics(&Namespace::default())[0].config["min.insync.replicas"], "2");
    }

    #[test]
    fn differences_are_found() {
        let topic = Topology::embedded().unwrap().kafka_topics(&Namespace::default()).remove(0);
        assert_eq!(compare(&topic, None), Some(KafkaTopicDifference::Missing));
        assert_eq!(compare(&topic, Some(&live(&topic))), None);
        let fewer = LiveTopic { partitions: 3, ..live(&topic) };
        assert_eq!(compare(&topic, Some(&fewer)), Some(KafkaTopicDifference::Partitions { live: 3 }));
        let mut shorter = live(&topic);
        shorter.config.insert("retention.ms".to_owned(), "604800000".to_owned());
        let change = ConfigChange { key: "retention.ms".into(), from: "604800000".into(), to: "-1".into() };
        assert_eq!(compare(&topic, Some(&shorter)), Some(KafkaTopicDifference::Config(vec![change])));
    }
}
