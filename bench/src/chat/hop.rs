//! The minimum latency of one hop on this machine: a record appended, read by a waiting consumer, and one row
//! committed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use crate::limits::ANSWER_LIMIT;
use crate::report::median;
use crate::shop::Shop;

/// Number of measured rounds, and of warm-up rounds before.
const ROUNDS: (usize, usize) = (200, 20);
/// Bytes of a record, about those of an intent.
const VALUE_BYTES: usize = 4096;

/// The median time of a hop.
pub async fn measure(shop: &Shop) -> anyhow::Result<Duration> {
    let topic = shop.connections.namespace.group("bench-hop");
    let admin: AdminClient<DefaultClientContext> = shop.connections.kafka_client("bench").create()?;
    let new_topic = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    for created in admin.create_topics([&new_topic], &AdminOptions::new()).await? {
        created.map_err(|(name, code)| anyhow::anyhow!("topic {name} was not created: {code}"))?;
    }
    let measured = measure_on(shop, &topic).await;
    admin.delete_topics(&[&topic], &AdminOptions::new()).await.context("cannot delete the hop's topic")?;
    measured
}

async fn measure_on(shop: &Shop, topic: &str) -> anyhow::Result<Duration> {
    let mut database = shop.database().await?;
    sqlx::query("CREATE TABLE bench_hop (round bigint)").execute(&mut database).await?;
    // Without linger, unlike the pipeline's producers.
    let producer: FutureProducer = shop.connections.kafka_producer("bench").set("linger.ms", "0").create()?;
    let mut config = shop.connections.kafka_client("bench");
    let consumer: BaseConsumer = config.set("group.id", "bench").set("enable.auto.commit", "false").create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    let value = vec![b'x'; VALUE_BYTES];
    let mut hops = Vec::with_capacity(ROUNDS.0);
    for round in 0..ROUNDS.0 + ROUNDS.1 {
        let started = Instant::now();
        let record = FutureRecord::to(topic).key("hop").payload(&value);
        let delivery = producer.send_result(record).map_err(|(error, _)| error)?;
        let read = tokio::task::block_in_place(|| {
            let message = consumer.poll(ANSWER_LIMIT).context("kafka did not return the record")??;
            anyhow::Ok(message.offset())
        })?;
        sqlx::query("INSERT INTO bench_hop VALUES ($1)").bind(read).execute(&mut database).await?;
        let took = started.elapsed();
        let delivered = delivery.await.context("the producer stopped")?;
        delivered.map_err(|(error, _)| error).context("kafka rejected a record")?;
        ensure!(usize::try_from(read)? == round, "another record than the one that was appended");
        if round >= ROUNDS.1 {
            hops.push(took.as_secs_f64());
        }
    }
    Ok(Duration::from_secs_f64(median(hops)))
}
