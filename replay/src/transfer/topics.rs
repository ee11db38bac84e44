//! Topics of a shop, with and without the namespace.

use jangbogo_events::Topic;
use jangbogo_platform::namespace::Namespace;
use jangbogo_topology::Topology;

/// A topic of the shop: of the log, or a group's dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopTopic {
    /// Name without namespace.
    pub name: String,
    /// Name in Kafka, with namespace.
    pub kafka_name: String,
}

/// All topics of a shop, in the topology's order.
pub fn shop_topics(namespace: &Namespace) -> anyhow::Result<Vec<ShopTopic>> {
    let topology = Topology::embedded()?;
    let names = topology.kafka_topics(&Namespace::default());
    let kafka_names = topology.kafka_topics(namespace);
    let topics = names.into_iter().zip(kafka_names);
    Ok(topics.map(|(plain, kafka)| ShopTopic { name: plain.name, kafka_name: kafka.name }).collect())
}

/// The named topics, in the topology's order; without names, the topics of the log.
pub fn select(namespace: &Namespace, names: &[String]) -> anyhow::Result<Vec<ShopTopic>> {
    let is_selected = |topic: &ShopTopic| {
        if names.is_empty() { Topic::from_name(&topic.name).is_some() } else { names.contains(&topic.name) }
    };
    Ok(shop_topics(namespace)?.into_iter().filter(is_selected).collect())
}

/// Parses a topic's name as an argument.
pub fn parse_name(name: &str) -> Result<String, String> {
    let topics = shop_topics(&Namespace::default()).map_err(|error| format!("{error:#}"))?;
    if topics.iter().any(|topic| topic.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    Err(format!("there is no such topic; there are: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_selected_by_name_only() {
        let shop: Namespace = "shop".parse().unwrap();
        let name = parse_name("dead-letter.recommendation").unwrap();
        let kafka_name = "shop.dead-letter.recommendation".to_owned();
        assert_eq!(select(&shop, std::slice::from_ref(&name)).unwrap(), [ShopTopic { name, kafka_name }]);
        assert_eq!(select(&shop, &[]).unwrap().len(), Topic::ALL.len());
        assert!(parse_name("orders").unwrap_err().contains("order-completed"));
    }
}
