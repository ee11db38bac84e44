//! A log of millions of order lines, which is kept for the next run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jangbogo_events::{Data, Event, Topic};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::headers;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::repeat::repeated;
use crate::limits::{ANSWER_LIMIT, ORDER_TOPICS, consume, decoded, end_offsets};
use crate::shop::Shop;

/// Prefix of filled namespaces, before the requested number of lines.
const PREFIX: &str = "bench_rebuild_";
/// Timeout of the last acknowledgements.
const FLUSH_LIMIT: Duration = Duration::from_mins(2);
/// Pause while the producer's queue is full.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(50);

/// A shop whose order topics hold at least this number of lines. A complete log of an earlier run is reused.
pub async fn filled(lines: u64) -> anyhow::Result<Shop> {
    let name = format!("{PREFIX}{lines}");
    let shop = Shop::named(&name).await?;
    if is_complete(&shop.connections)? {
        eprintln!("using the log that {name} holds");
        return Ok(shop);
    }
    remove(shop).await.context("cannot remove an incomplete log")?;
    wait_until_removed(&name).await?;
    let shop = Shop::named(&name).await?;
    eprintln!("filling {name}");
    fill(&shop, lines).await?;
    mark_complete(&shop.connections)?;
    Ok(shop)
}

/// Fills an empty shop with the demo shop's catalogue and enough repetitions of its year of orders.
pub async fn fill(shop: &Shop, lines: u64) -> anyhow::Result<()> {
    shop.import_unmoved().await?;
    let year = read_year(&shop.connections)?;
    let lines_of_year: u64 = year.iter().map(count_lines).sum();
    ensure!(lines_of_year > 0, "the demo shop holds no orders");
    produce(&shop.connections, &year, lines.div_ceil(lines_of_year))
}

/// Removes every filled namespace. Returns their names.
pub async fn remove_all(connections: &Connections) -> anyhow::Result<Vec<String>> {
    let consumer: BaseConsumer = connections.kafka_client("bench").create()?;
    let metadata = consumer.fetch_metadata(None, ANSWER_LIMIT).context("kafka does not answer")?;
    let names: BTreeSet<&str> = metadata
        .topics()
        .iter()
        .filter(|topic| topic.name().starts_with(PREFIX))
        .filter_map(|topic| topic.name().split('.').next())
        .collect();
    for name in &names {
        remove(Shop::named(name).await?).await?;
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Removes a filled namespace with everything that contestants left there.
pub async fn remove(shop: Shop) -> anyhow::Result<()> {
    remove_groups(&shop.connections).await?;
    remove_topics_of(&shop.connections, &format!("{}.", shop.connections.namespace)).await?;
    shop.close().await
}

/// Removes the topics with a prefix, except those of the log itself.
pub async fn remove_topics_of(connections: &Connections, prefix: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = connections.kafka_client("bench").create()?;
    let metadata = admin.inner().fetch_metadata(None, ANSWER_LIMIT).context("kafka does not answer")?;
    let names: Vec<&str> = metadata
        .topics()
        .iter()
        .map(rdkafka::metadata::MetadataTopic::name)
        .filter(|name| name.starts_with(prefix))
        .filter(|name| connections.namespace.topic_of(name).is_none() && !name.contains(".dead-letter."))
        .collect();
    if !names.is_empty() {
        admin.delete_topics(&names, &AdminOptions::new()).await.context("cannot delete topics")?;
    }
    Ok(())
}

/// Removes the groups of contestants and of the marker. A group with members is removed when they leave.
async fn remove_groups(connections: &Connections) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = connections.kafka_client("bench").create()?;
    let groups = admin.inner().fetch_group_list(None, ANSWER_LIMIT).context("cannot list kafka's groups")?;
    let prefix = connections.namespace.group("");
    let names: Vec<&str> =
        groups.groups().iter().map(rdkafka::groups::GroupInfo::name).filter(|name| name.starts_with(&prefix)).collect();
    if !names.is_empty() {
        admin.delete_groups(&names, &AdminOptions::new()).await.context("cannot delete groups")?;
    }
    Ok(())
}

/// Number of lines of an order or cancellation.
pub fn count_lines(event: &Event) -> u64 {
    match &event.data {
        Data::OrderCompleted(order) => order.items.len() as u64,
        Data::OrderCancelled(order) => order.items.len() as u64,
        _ => 0,
    }
}

/// Consumer and offsets that mark the log as complete: a group's commit of all end offsets.
fn mark(connections: &Connections) -> anyhow::Result<(BaseConsumer, TopicPartitionList)> {
    let mut config = connections.kafka_client("bench");
    config.set("group.id", connections.namespace.group("filled")).set("enable.auto.commit", "false");
    let mut ends = TopicPartitionList::new();
    for (topic, partition, end) in end_offsets(connections, ORDER_TOPICS)? {
        ends.add_partition_offset(&connections.namespace.topic(topic), partition, Offset::Offset(end))?;
    }
    Ok((config.create()?, ends))
}

fn mark_complete(connections: &Connections) -> anyhow::Result<()> {
    let (consumer, ends) = mark(connections)?;
    consumer.commit(&ends, CommitMode::Sync).context("cannot mark the log as complete")
}

fn is_complete(connections: &Connections) -> anyhow::Result<bool> {
    let (consumer, ends) = mark(connections)?;
    let committed = consumer.committed_offsets(ends.clone(), ANSWER_LIMIT).context("kafka does not answer")?;
    Ok(committed == ends)
}

/// Waits for the removal of topics, which is asynchronous in Kafka.
async fn wait_until_removed(name: &str) -> anyhow::Result<()> {
    let shop = Shop::connections(name).await?;
    let consumer: BaseConsumer = shop.kafka_client("bench").create()?;
    for _ in 0..100 {
        let metadata = consumer.fetch_metadata(None, ANSWER_LIMIT).context("kafka does not answer")?;
        if !metadata.topics().iter().any(|topic| shop.namespace.topic_of(topic.name()).is_some()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("removal of the topics of {name} timed out")
}

/// The orders and cancellations of the imported year.
fn read_year(connections: &Connections) -> anyhow::Result<Vec<Event>> {
    let mut year = Vec::new();
    consume(connections, ORDER_TOPICS, |message| {
        let event = decoded(connections, message)?;
        if count_lines(&event) > 0 {
            year.push(event);
        }
        Ok(())
    })?;
    // By time, as a shop writes them: partitions are read one after another.
    year.sort_by_key(|event| event.envelope.time);
    Ok(year)
}

#[derive(Clone, Default)]
struct Deliveries(Arc<AtomicU64>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Produces the repetitions of the year after the first, which is in the log.
fn produce(connections: &Connections, year: &[Event], repetitions: u64) -> anyhow::Result<()> {
    let refused = Deliveries::default();
    let mut config = connections.kafka_producer("bench");
    config.set("linger.ms", "50");
    let producer: BaseProducer<Deliveries> = config.create_with_context(refused.clone())?;
    let topic = |topic: Topic| connections.namespace.topic(topic);
    for repetition in 1..repetitions {
        for event in year {
            let encoded = repeated(event, repetition)?.encode()?;
            let name = topic(encoded.topic);
            let mut record = BaseRecord::to(&name).key(&encoded.key).payload(&encoded.value).headers(headers(&encoded));
            while let Err((error, unsent)) = producer.send(record) {
                let KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) = error else {
                    return Err(error).context("cannot queue an order");
                };
                producer.poll(FULL_QUEUE_PAUSE);
                record = unsent;
            }
            producer.poll(Duration::ZERO);
        }
        eprintln!("produced {} of {repetitions} years", repetition + 1);
    }
    producer.flush(FLUSH_LIMIT).context("kafka did not acknowledge the orders")?;
    ensure!(refused.0.load(Ordering::Relaxed) == 0, "kafka rejected orders");
    Ok(())
}
