//! The machine's raw limits: the same log read and the same rows written, with nothing but the client libraries.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::TryStreamExt as _;
use jangbogo_events::{Event, Record, Topic};
use jangbogo_fold::{Processor, Table};
use jangbogo_log::groupless;
use jangbogo_platform::config::Connections;
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_store::{Generation, create_table};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{Executor as _, PgConnection};

/// Topics of orders and cancellations.
pub const ORDER_TOPICS: &[Topic] = &[Topic::OrderCompleted, Topic::UserBehavior];
/// Timeout of a request to Kafka.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of each chunk that is sent to COPY.
pub const COPY_BYTES: usize = 1 << 20;
/// Schema of the tables that COPY fills.
pub const COPY_SCHEMA: &str = "bench_copy";

/// The partitions of topics, each with its end offset.
pub fn end_offsets(connections: &Connections, topics: &[Topic]) -> anyhow::Result<Vec<(Topic, i32, i64)>> {
    let consumer: BaseConsumer = groupless::config(connections, "bench").create()?;
    let names: Vec<String> = topics.iter().map(|topic| connections.namespace.topic(*topic)).collect();
    let started = Instant::now();
    let ranges = loop {
        let ranges =
            groupless::ranges(&consumer, &names, ANSWER_LIMIT).context("cannot fetch end offsets from kafka")?;
        // The metadata may lack a topic that was just created.
        if ranges.len() == names.len() || started.elapsed() > ANSWER_LIMIT {
            break ranges;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut ends = Vec::new();
    for (topic, name) in topics.iter().zip(&names) {
        let ranges = ranges.get(name).with_context(|| format!("the topic {name} does not exist"))?;
        ends.extend((0..).zip(ranges).map(|(number, range)| (*topic, number, range.end)));
    }
    Ok(ends)
}

/// Duration of a bare consumer from the beginnings of topics to their ends. Values are touched, not decoded.
pub fn drain_topics(connections: &Connections, topics: &[Topic]) -> anyhow::Result<Duration> {
    let mut bytes = 0;
    let took = consume(connections, topics, |message| {
        bytes += message.payload_len();
        Ok(())
    })?;
    ensure!(bytes > 0, "the topics hold no values");
    Ok(took)
}

/// Number of lines of the orders and cancellations in the topics.
pub fn count_lines(connections: &Connections, topics: &[Topic]) -> anyhow::Result<u64> {
    let mut lines = 0;
    consume(connections, topics, |message| {
        let value: serde_json::Value = serde_json::from_slice(message.payload().unwrap_or_default())?;
        lines += value["items"].as_array().map_or(0, Vec::len) as u64;
        Ok(())
    })?;
    Ok(lines)
}

/// Calls `visit` with every record of topics, from their beginnings to their ends. Returns the duration.
pub fn consume(
    connections: &Connections,
    topics: &[Topic],
    mut visit: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let ends = end_offsets(connections, topics)?;
    let expected = ends.iter().map(|(_, _, end)| *end).sum::<i64>();
    let consumer: BaseConsumer =
        groupless::config(connections, "bench").set("enable.partition.eof", "false").create()?;
    let mut assignment = TopicPartitionList::new();
    for (topic, partition, _) in ends {
        assignment.add_partition_offset(&connections.namespace.topic(topic), partition, Offset::Beginning)?;
    }
    let started = Instant::now();
    consumer.assign(&assignment)?;
    for _ in 0..expected {
        visit(&consumer.poll(ANSWER_LIMIT).context("kafka sends no more records")??)?;
    }
    Ok(started.elapsed())
}

/// The event that a record of this shop holds.
pub fn decoded(connections: &Connections, message: &BorrowedMessage<'_>) -> anyhow::Result<Event> {
    let topic = connections.namespace.topic_of(message.topic()).context("a topic of another shop")?;
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
        .unwrap_or_default();
    let record = Record { topic, headers: &headers, value: message.payload().unwrap_or_default() };
    Ok(Event::decode(record)?)
}

/// Creates a schema with these tables.
pub async fn create_tables(
    database: &mut PgConnection,
    schema: &str,
    tables: impl IntoIterator<Item = &'static Table>,
) -> anyhow::Result<()> {
    let mut sql = format!("CREATE SCHEMA {schema}; SET search_path = {schema}, public;");
    for table in tables {
        sql.push_str(&create_table(table, VectorIndex::default()));
    }
    sql.push_str("RESET search_path;");
    database.execute(sqlx::raw_sql(&sql)).await.context("cannot create tables")?;
    Ok(())
}

/// Duration of COPY for all rows of a generation into equal empty tables with the same keys and indexes, in one
/// transaction; and the number of rows.
pub async fn copy_rows(
    database: &mut PgConnection,
    processor: &Processor,
    generation: &Generation,
) -> anyhow::Result<(Duration, u64)> {
    create_tables(database, COPY_SCHEMA, processor.tables()).await?;
    let mut tables = Vec::new();
    for table in processor.tables() {
        let sql = format!("COPY {}.{} TO STDOUT (FORMAT binary)", generation.schema, table.name);
        let mut bytes = Vec::new();
        let mut stream = database.copy_out_raw(&sql).await?;
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        tables.push((table.name, bytes));
    }
    sqlx::query("CHECKPOINT").execute(&mut *database).await?;
    let started = Instant::now();
    let mut rows = 0;
    database.execute("BEGIN").await?;
    for (name, bytes) in &tables {
        let mut copy = database.copy_in_raw(&format!("COPY {COPY_SCHEMA}.{name} FROM STDIN (FORMAT binary)")).await?;
        for chunk in bytes.chunks(COPY_BYTES) {
            copy.send(chunk).await?;
        }
        rows += copy.finish().await?;
    }
    database.execute("COMMIT").await?;
    Ok((started.elapsed(), rows))
}
