//! `jangbogo events tail`: shows records as they are appended.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use jangbogo_events::{Event, Topic};
use jangbogo_log::decode::event_of_message;
use jangbogo_log::groupless;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::parse_topic;

/// Shows events as they are appended, one line each, until Ctrl-C
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo events tail                                        new records of every topic
  jangbogo events tail order-completed --from-beginning --max 10
  jangbogo events tail user-behavior --from 2026-01-31T08:00:00Z --json | jq .data

A line is: append time, topic[partition]@offset, type, key, data. A record that cannot be decoded is shown with the error.
The time of --from is when Kafka appended the record, not when the event happened.")]
pub struct TailArguments {
    /// Topics without namespace [default: every topic]
    #[arg(value_parser = parse_topic)]
    topics: Vec<Topic>,
    /// Start at the oldest record
    #[arg(long, conflicts_with = "from")]
    from_beginning: bool,
    /// Start at the first record appended at or after this time (RFC 3339)
    #[arg(long, value_name = "TIMESTAMP")]
    from: Option<DateTime<Utc>>,
    /// End after this number of records
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Print JSON lines, with the whole envelope
    #[arg(long)]
    json: bool,
}

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Shows records until Ctrl-C, `--max`, or standard output is closed.
pub async fn run(arguments: TailArguments, connections: &Connections) -> anyhow::Result<()> {
    let TailArguments { topics, from_beginning, from, max, json } = arguments;
    let start = match from {
        Some(time) => Offset::Offset(time.timestamp_millis()),
        None if from_beginning => Offset::Beginning,
        None => Offset::End,
    };
    let consumer = tokio::task::spawn_blocking({
        let connections = connections.clone();
        move || assigned(&connections, &topics, start)
    })
    .await??;
    let mut shown = 0;
    let mut waiting = false;
    while max.is_none_or(|max| shown < max) {
        let message = tokio::select! {
            message = consumer.recv() => message,
            stopped = tokio::signal::ctrl_c() => return stopped.context("cannot listen for Ctrl-C"),
        };
        let message = match message {
            Ok(message) => message,
            // The client reconnects by itself and goes on where it was.
            Err(KafkaError::MessageConsumption(cause)) => {
                if !waiting {
                    eprintln!("waiting for Kafka: {cause}");
                }
                waiting = true;
                continue;
            }
            Err(error) => return Err(error).context("cannot read from Kafka"),
        };
        waiting = false;
        let line = line(&message, connections, json);
        match writeln!(io::stdout(), "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write to standard output")?,
        }
        shown += 1;
    }
    Ok(())
}

/// A consumer without a group: it reads every partition and leaves no trace in Kafka. A numeric `start` is an append
/// time in milliseconds.
fn assigned(
    connections: &Connections,
    topics: &[Topic],
    start: Offset,
) -> anyhow::Result<StreamConsumer<QuietContext>> {
    let mut config = groupless::config(connections, "jangbogo-tail");
    config.set("enable.partition.eof", "false").set("auto.offset.reset", "earliest");
    let consumer: StreamConsumer<QuietContext> =
        config.create_with_context(QuietContext).context("cannot create a Kafka consumer")?;
    let topics = if topics.is_empty() { Topic::ALL } else { topics };
    let names: Vec<String> = topics.iter().map(|topic| connections.namespace.topic(*topic)).collect();
    let counts = groupless::partition_counts(&consumer, &names, METADATA_TIMEOUT)
        .with_context(|| format!("cannot reach Kafka at {}", connections.kafka))?;
    let mut partitions = TopicPartitionList::new();
    for name in names {
        let Some(count) = counts.get(&name) else {
            bail!("the topic {name} does not exist at {}; `jangbogo topology apply` creates it", connections.kafka);
        };
        for partition in 0..*count {
            partitions.add_partition_offset(&name, partition, start)?;
        }
    }
    if matches!(start, Offset::Offset(_)) {
        partitions = consumer
            .offsets_for_times(partitions, METADATA_TIMEOUT)
            .context("cannot ask Kafka for the offsets of that time")?;
    }
    consumer.assign(&partitions).context("cannot assign the partitions")?;
    Ok(consumer)
}

fn line(message: &BorrowedMessage<'_>, connections: &Connections, as_json: bool) -> String {
    let value = message.payload().unwrap_or_default();
    let event = match connections.namespace.topic_of(message.topic()) {
        Some(topic) => event_of_message(topic, message),
        None => Err("the topic is none of the log's".to_owned()),
    };
    let key = message.key().map(String::from_utf8_lossy).unwrap_or_default();
    let appended = message.timestamp().to_millis().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    let appended = appended.to_rfc3339_opts(SecondsFormat::Millis, true);
    if as_json {
        let mut line = json!({
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "appended": appended,
            "key": key,
        });
        let fields = match &event {
            Ok(event) => fields(event),
            Err(cause) => json!({ "error": cause, "value": String::from_utf8_lossy(value) }),
        };
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        return line.to_string();
    }
    let position = format!("{}[{}]@{}", message.topic(), message.partition(), message.offset());
    match event {
        Ok(event) => {
            format!("{appended} {position} {} {key} {}", event.data.event_type().name(), String::from_utf8_lossy(value))
        }
        Err(cause) => format!("{appended} {position} NOT AN EVENT {key} {cause}: {}", shortened(value)),
    }
}

fn fields(event: &Event) -> Value {
    let envelope = &event.envelope;
    let data = event.data.to_json().and_then(|data| serde_json::from_slice::<Value>(&data)).unwrap_or_default();
    json!({
        "type": event.data.event_type().name(),
        "id": envelope.id,
        "source": envelope.source,
        "time": envelope.time.to_rfc3339_opts(SecondsFormat::Micros, true),
        "causation_id": envelope.causation_id,
        "correlation_id": envelope.correlation_id,
        "data": data,
    })
}

/// The beginning of a value that cannot be decoded, as text.
fn shortened(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(200).collect::<String>().escape_debug().to_string()
}
