//! Counts of the log's records, read from the log itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use jangbogo_events::{Data, Event, EventHash, Money, OrderItem, Topic};
use jangbogo_log::decode::event_of_message;
use jangbogo_log::groupless;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message as _;

const TIMEOUT: Duration = Duration::from_secs(20);
/// The topics that the demo writes to.
const TOPICS: [Topic; 3] = [Topic::CatalogEvents, Topic::OrderCompleted, Topic::UserBehavior];

/// Units and money of order lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub sold_units: i64,
    /// In minor units of the currency.
    pub sold_minor: i64,
    pub cancelled_units: i64,
    /// In minor units of the currency.
    pub cancelled_minor: i64,
}

/// The latest state of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub title: String,
    pub price: Option<Money>,
}

#[derive(Debug, Default)]
pub struct LogCounts {
    /// Records by topic.
    pub records: BTreeMap<Topic, u64>,
    /// Distinct events by topic and source.
    pub events: BTreeMap<(Topic, String), u64>,
    /// Products on sale, by id.
    pub products: BTreeMap<String, Product>,
    /// Totals of order lines that were not imported.
    pub other_totals: Totals,
}

impl LogCounts {
    /// Reads the topics from beginning to end.
    pub async fn read(connections: &Connections) -> anyhow::Result<Self> {
        let connections = connections.clone();
        tokio::task::spawn_blocking(move || count(&connections)).await?
    }

    pub fn imported_events(&self) -> u64 {
        self.events.iter().filter(|((_, source), _)| is_import(source)).map(|(_, events)| events).sum()
    }

    /// Number of distinct events of a topic, either imported ones or others.
    pub fn count_events(&self, topic: Topic, imported: bool) -> u64 {
        let matches = |(of_topic, source): &(Topic, String)| *of_topic == topic && is_import(source) == imported;
        self.events.iter().filter(|(key, _)| matches(key)).map(|(_, events)| events).sum()
    }
}

fn is_import(source: &str) -> bool {
    source.starts_with("import/")
}

fn count(connections: &Connections) -> anyhow::Result<LogCounts> {
    let consumer: BaseConsumer<QuietContext> =
        groupless::config(connections, "demo-census").create_with_context(QuietContext)?;
    let names = TOPICS.map(|topic| connections.namespace.topic(topic));
    let ranges = groupless::ranges(&consumer, &names, TIMEOUT).context("cannot reach Kafka")?;
    let mut counts = LogCounts::default();
    let mut seen: BTreeSet<EventHash> = BTreeSet::new();
    groupless::read_ranges(&consumer, &ranges, TIMEOUT, |message| {
        let Some(topic) = connections.namespace.topic_of(message.topic()) else { return Ok(()) };
        *counts.records.entry(topic).or_default() += 1;
        // The check of dead letters reports records that cannot be decoded.
        let Ok(event) = event_of_message(topic, message) else { return Ok(()) };
        if seen.insert(event.envelope.hash()) {
            counts.add(topic, &event);
        }
        anyhow::Ok(())
    })
    .context("cannot read the log from Kafka")?;
    Ok(counts)
}

impl LogCounts {
    fn add(&mut self, topic: Topic, event: &Event) {
        let source = &event.envelope.source;
        *self.events.entry((topic, source.clone())).or_default() += 1;
        let lines = |items: &[OrderItem]| {
            items.iter().fold((0, 0), |(units, minor), item| (units + item.quantity.units(), minor + item.total_minor))
        };
        match &event.data {
            Data::ProductUpserted(product) => {
                let product_state = Product { title: product.title.to_string(), price: product.price };
                self.products.insert(product.product_id.to_string(), product_state);
            }
            Data::ProductRetired(product) => {
                self.products.remove(product.product_id.as_str());
            }
            Data::OrderCompleted(order) if !is_import(source) => {
                let (units, minor) = lines(&order.items);
                self.other_totals.sold_units += units;
                self.other_totals.sold_minor += minor;
            }
            Data::OrderCancelled(order) if !is_import(source) => {
                let (units, minor) = lines(&order.items);
                self.other_totals.cancelled_units += units;
                self.other_totals.cancelled_minor += minor;
            }
            _ => {}
        }
    }
}
