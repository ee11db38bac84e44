//! What the log holds, counted from the log itself: the demo believes no one's memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use jangbogo_events::{Data, Event, EventHash, Money, OrderItem, Record, Topic};
use jangbogo_log::groupless;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{Headers as _, Message as _};

/// How long Kafka may take to answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The topics that the demo writes to.
const TOPICS: [Topic; 3] = [Topic::CatalogEvents, Topic::OrderCompleted, Topic::UserBehavior];

/// Units and money of order lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sold.
    pub sold_units: i64,
    /// Sold, in minor units.
    pub sold_minor: i64,
    /// Taken back.
    pub cancelled_units: i64,
    /// Taken back, in minor units.
    pub cancelled_minor: i64,
}

/// A product as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// What it is called.
    pub title: String,
    /// What it costs.
    pub price: Option<Money>,
}

/// The log, counted.
#[derive(Debug, Default)]
pub struct Census {
    /// Records of each topic.
    pub records: BTreeMap<Topic, u64>,
    /// Distinct events of each topic and source.
    pub events: BTreeMap<(Topic, String), u64>,
    /// Products on sale, by id.
    pub products: BTreeMap<String, Product>,
    /// Lines that came by other ways than the import.
    pub other_sums: Sums,
}

impl Census {
    /// Reads the topics from beginning to end.
    ///
    /// # Errors
    /// When Kafka cannot be reached or a record is no event.
    pub async fn take(connections: &Connections) -> anyhow::Result<Self> {
        let connections = connections.clone();
        tokio::task::spawn_blocking(move || count(&connections)).await?
    }

    /// Distinct events of imports.
    pub fn imported_events(&self) -> u64 {
        self.events.iter().filter(|((_, source), _)| is_import(source)).map(|(_, events)| events).sum()
    }

    /// Distinct events of one topic.
    pub fn events_of(&self, topic: Topic, imported: bool) -> u64 {
        let wanted = |found: &Topic, source: &str| *found == topic && is_import(source) == imported;
        self.events.iter().filter(|((found, source), _)| wanted(found, source)).map(|(_, events)| events).sum()
    }
}

fn is_import(source: &str) -> bool {
    source.starts_with("import/")
}

fn count(connections: &Connections) -> anyhow::Result<Census> {
    let consumer: BaseConsumer<QuietContext> =
        groupless::config(connections, "demo-census").create_with_context(QuietContext)?;
    let names = TOPICS.map(|topic| connections.namespace.topic(topic));
    let ranges = groupless::ranges(&consumer, &names, TIMEOUT).context("cannot reach Kafka")?;
    let mut census = Census::default();
    let mut seen: BTreeSet<EventHash> = BTreeSet::new();
    groupless::read_ranges(&consumer, &ranges, TIMEOUT, |message| {
        let Some(topic) = connections.namespace.topic_of(message.topic()) else { return Ok(()) };
        *census.records.entry(topic).or_default() += 1;
        let headers: Vec<(&str, &[u8])> = message
            .headers()
            .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
            .unwrap_or_default();
        let value = message.payload().unwrap_or_default();
        // A record that is no event is for the check of dead letters to report.
        let Ok(event) = Event::decode(Record { topic, headers: &headers, value }) else { return Ok(()) };
        if seen.insert(event.envelope.hash()) {
            census.add(topic, &event);
        }
        anyhow::Ok(())
    })
    .context("cannot read the log from Kafka")?;
    Ok(census)
}

impl Census {
    fn add(&mut self, topic: Topic, event: &Event) {
        let source = &event.envelope.source;
        *self.events.entry((topic, source.clone())).or_default() += 1;
        let lines = |items: &[OrderItem]| {
            items.iter().fold((0, 0), |(units, minor), item| (units + item.quantity.units(), minor + item.total_minor))
        };
        match &event.data {
            Data::ProductUpserted(product) => {
                let as_it_is = Product { title: product.title.to_string(), price: product.price };
                self.products.insert(product.product_id.to_string(), as_it_is);
            }
            Data::ProductRetired(product) => {
                self.products.remove(product.product_id.as_str());
            }
            Data::OrderCompleted(order) if !is_import(source) => {
                let (units, minor) = lines(&order.items);
                self.other_sums.sold_units += units;
                self.other_sums.sold_minor += minor;
            }
            Data::OrderCancelled(order) if !is_import(source) => {
                let (units, minor) = lines(&order.items);
                self.other_sums.cancelled_units += units;
                self.other_sums.cancelled_minor += minor;
            }
            _ => {}
        }
    }
}
