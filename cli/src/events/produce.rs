//! `jangbogo events produce`: produces JSON lines to a topic.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use jangbogo_events::{Data, Envelope, Event, EventType, Record, Topic};
use jangbogo_platform::config::Connections;
use jangbogo_telemetry::causes;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::parse_topic;
use super::producer::EventProducer;

/// Produces events from JSON lines, each checked against its schema
#[derive(Args, Debug)]
#[command(
    after_help = r#"A line is an object with "type" and "data", and optionally "id", "source", "time", "causation_id" and
"correlation_id". The default id is a new one, the default time is now.

Examples:
  echo '{"type": "product-viewed", "data": {"member_id": "13085", "product_id": "20725"}}' |
      jangbogo events produce product-viewed
  jangbogo events produce catalog-events products.ndjson retired.ndjson

The form of "data" is in schemas/<type>.v<N>.json. An invalid line is reported on standard error with its number and
reason and is not produced; the others are, and the command exits 1."#
)]
pub struct ProduceArguments {
    /// Topic without namespace
    #[arg(value_parser = parse_topic)]
    topic: Topic,
    /// Files with one event a line [default: standard input]
    files: Vec<PathBuf>,
    /// The `source` of events that have none
    #[arg(long, default_value = "jangbogo/produce")]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    r#type: String,
    data: Value,
    id: Option<String>,
    source: Option<String>,
    time: Option<DateTime<Utc>>,
    causation_id: Option<String>,
    correlation_id: Option<String>,
}

/// Maximum number of lines read ahead.
const QUEUED_LINES: usize = 1_000;

pub async fn run(arguments: ProduceArguments, connections: &Connections) -> anyhow::Result<()> {
    let ProduceArguments { topic, files, source } = arguments;
    let mut producer = EventProducer::connect(connections, "jangbogo-produce", &[topic]).await?;
    let (sender, mut lines) = mpsc::channel(QUEUED_LINES);
    // A dedicated thread, not the runtime's: a read of a terminal cannot be cancelled and would delay the exit.
    std::thread::spawn(move || read_inputs(&files, &sender));
    let mut refused = 0_u64;
    while let Some(line) = lines.recv().await {
        let InputLine { location, bytes } = line?;
        match event(&bytes, topic, &source) {
            Ok(event) => producer.send(&event).await?,
            Err(error) => {
                refused += 1;
                eprintln!("{location}: {}", causes(error.as_ref()));
            }
        }
    }
    let acknowledged: u64 = producer.finish().await?.values().sum();
    eprintln!("{acknowledged} events produced on {}", connections.namespace.topic(topic));
    if refused > 0 {
        bail!("{refused} lines were refused and not produced");
    }
    Ok(())
}

struct InputLine {
    /// Names the file and the line number.
    location: String,
    bytes: Vec<u8>,
}

/// Sends the lines of every file; stops at a file that cannot be read, or when the receiver is dropped.
fn read_inputs(files: &[PathBuf], lines: &mpsc::Sender<anyhow::Result<InputLine>>) {
    let result = if files.is_empty() {
        read_input("standard input", io::stdin().lock(), lines)
    } else {
        files.iter().try_for_each(|path| {
            let name = path.display().to_string();
            let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
            read_input(&name, BufReader::new(file), lines)
        })
    };
    if let Err(error) = result {
        // The receiver is dropped when the command has failed already.
        let _ = lines.blocking_send(Err(error));
    }
}

fn read_input(
    name: &str,
    mut input: impl BufRead,
    lines: &mpsc::Sender<anyhow::Result<InputLine>>,
) -> anyhow::Result<()> {
    for number in 1_u64.. {
        let mut bytes = Vec::new();
        if input.read_until(b'\n', &mut bytes).with_context(|| format!("cannot read {name}"))? == 0 {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = InputLine { location: format!("{name}, line {number}"), bytes };
        if lines.blocking_send(Ok(line)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Parses a line as an event, and checks that its encoding can be decoded.
fn event(line: &[u8], topic: Topic, source: &str) -> anyhow::Result<Event> {
    let line: Line = serde_json::from_slice(line).context("the line is not an event")?;
    let event_type = EventType::from_name(&line.r#type)
        .ok_or_else(|| anyhow!("unknown event type {:?}; types on {topic}: {}", line.r#type, types_on(topic)))?;
    let data = Data::from_json(event_type, &serde_json::to_vec(&line.data)?)
        .with_context(|| format!("the data is not a {}", event_type.name()))?;
    let id = line.id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let source = line.source.unwrap_or_else(|| source.to_owned());
    let mut envelope = Envelope::new(id, source, line.time.unwrap_or_else(Utc::now));
    envelope.causation_id = line.causation_id;
    envelope.correlation_id = line.correlation_id;
    let event = Event { envelope, data };

    let encoded = event.encode()?;
    let headers: Vec<(&str, &[u8])> = encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    Event::decode(Record { topic, headers: &headers, value: &encoded.value })?;
    Ok(event)
}

fn types_on(topic: Topic) -> String {
    let on_topic = EventType::ALL.iter().filter(|event_type| event_type.topic() == topic);
    on_topic.map(|event_type| event_type.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        causes(event(line.as_bytes(), Topic::ProductViewed, "test").unwrap_err().as_ref()).to_string()
    }

    #[test]
    fn a_line_becomes_an_event() {
        let line = r#"{"type": "product-viewed", "data": {"product_id": "20725"}, "id": "1", "time": "2010-12-01T08:26:00+09:00"}"#;
        let event = event(line.as_bytes(), Topic::ProductViewed, "test").unwrap();
        assert_eq!((event.envelope.id.as_str(), event.envelope.source.as_str()), ("1", "test"));
        assert_eq!(event.envelope.time.to_rfc3339(), "2010-11-30T23:26:00+00:00");
        assert_eq!(event.data.key(), "20725");
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_reason() {
        let cases = [
            ("{", "the line is not an event: EOF while parsing an object at line 1 column 1"),
            (
                r#"{"type": "product-seen", "data": {}}"#,
                "unknown event type \"product-seen\"; types on product-viewed: product-viewed",
            ),
            (
                r#"{"type": "product-viewed", "data": {}}"#,
                "the data is not a product-viewed: the value does not fit: missing field `product_id` at line 1 column 2",
            ),
            (
                r#"{"type": "product-retired", "data": {"product_id": "1"}}"#,
                "the event type product-retired belongs on catalog-events, not on product-viewed",
            ),
            (
                r#"{"type": "product-viewed", "data": {"product_id": "1"}, "id": ""}"#,
                "the header ce_id is invalid: it must be 1 to 128 bytes long, not 0",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(refusal(line), expected);
        }
        assert!(refusal(r#"{"type": "product-viewed", "data": {}, "key": "1"}"#).contains("unknown field `key`"));
    }
}
