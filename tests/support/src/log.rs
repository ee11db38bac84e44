//! Reads the whole log with a plain consumer, partition by partition, and decodes it by its documentation alone. Judges
//! of the programs under test use it, so that they share no code with them.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use uuid::Uuid;

/// Namespace of event hashes, which are UUIDs of version 5.
const NAMESPACE: Uuid = Uuid::from_bytes(*b"jangboPg\x8foevents");

/// Event types that the judges know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ProductUpserted,
    ProductRetired,
    OrderCompleted,
    OrderCancelled,
    ProductViewed,
    CartItemAdded,
    WishlistItemAdded,
    RecommendationShown,
    RecommendationClicked,
    MessageCreated,
    IntentAnalyzed,
    RecommendationGenerated,
    PurchasePatternAnalyzed,
    /// A type that no judged table depends on.
    Other,
}

/// A decoded record of the log.
pub struct Record {
    pub source: String,
    pub id: String,
    pub kind: Kind,
    pub time: DateTime<Utc>,
    pub data: Value,
}

impl Record {
    /// Hash of the event, which identifies it in rows.
    pub fn hash(&self) -> Uuid {
        Uuid::new_v5(&NAMESPACE, format!("{}\u{1f}{}", self.source, self.id).as_bytes())
    }
}

/// Calls `take` with every record of the namespace's event topics; dead letters are left out.
pub fn read(bootstrap_servers: &str, namespace: &str, mut take: impl FnMut(&Record)) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "oracle")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .create()
        .unwrap();
    let timeout = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(None, timeout).unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for topic in metadata.topics() {
        let Some(name) = topic.name().strip_prefix(namespace).and_then(|name| name.strip_prefix('.')) else { continue };
        if name.starts_with("dead-letter.") {
            continue;
        }
        for partition in topic.partitions() {
            let (first, end) = consumer.fetch_watermarks(topic.name(), partition.id(), timeout).unwrap();
            assert_eq!(first, 0, "{}/{} has lost its head", topic.name(), partition.id());
            left += end;
            assignment.add_partition_offset(topic.name(), partition.id(), Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();
    while left > 0 {
        let message = consumer.poll(timeout).unwrap_or_else(|| panic!("{left} records are missing")).unwrap();
        take(&record(&message));
        left -= 1;
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let header = |name: &str| {
        let headers = message.headers().unwrap_or_else(|| panic!("a record without headers on {}", message.topic()));
        let header = headers.iter().find(|header| header.key == name);
        let value = header.and_then(|header| header.value).unwrap_or_else(|| panic!("a record without {name}"));
        String::from_utf8(value.to_vec()).unwrap()
    };
    let (kind, version) = match header("ce_type").as_str() {
        "product-upserted" => (Kind::ProductUpserted, 2),
        "product-retired" => (Kind::ProductRetired, 1),
        "order-completed" => (Kind::OrderCompleted, 1),
        "order-cancelled" => (Kind::OrderCancelled, 1),
        "product-viewed" => (Kind::ProductViewed, 1),
        "cart-item-added" => (Kind::CartItemAdded, 1),
        "wishlist-item-added" => (Kind::WishlistItemAdded, 1),
        "recommendation-shown" => (Kind::RecommendationShown, 1),
        "recommendation-clicked" => (Kind::RecommendationClicked, 1),
        "message-created" => (Kind::MessageCreated, 1),
        "intent-analyzed" => (Kind::IntentAnalyzed, 1),
        "recommendation-generated" => (Kind::RecommendationGenerated, 1),
        "purchase-pattern-analyzed" => (Kind::PurchasePatternAnalyzed, 1),
        _ => (Kind::Other, 1),
    };
    let schema = header("ce_dataschema");
    assert!(schema.ends_with(&format!(":v{version}")), "the oracle reads version {version} only, not {schema}");
    Record {
        source: header("ce_source"),
        id: header("ce_id"),
        kind,
        time: DateTime::parse_from_rfc3339(&header("ce_time")).unwrap().to_utc().trunc_subsecs(6),
        data: serde_json::from_slice(message.payload().unwrap_or_default()).unwrap(),
    }
}
