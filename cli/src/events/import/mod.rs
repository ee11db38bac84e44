//! `jangbogo events import`: imports a shop's files into the log.

mod category;
mod electronics;
mod input;
mod line;
mod online_retail;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use jangbogo_events::{Envelope, Event, derived_id};
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;

pub use self::report::{Produced, Report};
use super::producer::EventProducer;
use crate::output;

/// The demo shop: Online Retail II, first year (see `cli/data/README.md`).
pub const DEMO_SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/online-retail-ii.csv.zst");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Online Retail II: CSV with a line per invoice line
    #[default]
    OnlineRetail,
    /// Icecat's open catalogue of electronics: JSON lines
    Electronics,
}

/// Imports a file of products and orders; without a file, the demo shop
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  jangbogo events import                        the demo shop, moved so that its newest order is of this week
  jangbogo events import orders.csv.gz          another file; .csv, .csv.gz and .csv.zst can be read
  jangbogo events import --dry-run --json       what would be produced, as JSON, without Kafka
  jangbogo events import --no-shift             with the file's own times
  jangbogo --namespace electronics events import --format electronics products.jsonl.gz
                                                a catalogue, as another shop's

Products come first, then orders and cancellations by time. Ids are derived from the file's name and the invoice or
product: importing a file again changes nothing, whatever it was moved by. Lines that cannot be read are reported with
their number and reason on standard error, and the import goes on.")]
pub struct ImportArguments {
    /// The file [default: the demo shop]
    #[arg(env = "JANGBOGO_DEMO_SHOP")]
    pub file: Option<PathBuf>,
    /// Format of the file
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Keep the file's times; by default orders are moved by whole weeks, so that the newest is of the last seven days.
    /// A catalogue's times are never moved
    #[arg(long)]
    pub no_shift: bool,
    /// Name from which ids are derived [default: the file's name up to its first dot]
    #[arg(long)]
    pub name: Option<String>,
    /// Read and report without producing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

impl ImportArguments {
    fn path(&self) -> anyhow::Result<PathBuf> {
        match (&self.file, self.format) {
            (Some(file), _) => Ok(file.clone()),
            (None, Format::OnlineRetail) => Ok(PathBuf::from(DEMO_SHOP)),
            (None, Format::Electronics) => {
                bail!("no default file for electronics: name a file such as products.jsonl.gz")
            }
        }
    }
}

pub struct Settings {
    /// The events' source: `import/<file name>`.
    pub source: String,
    /// Time zone of the file.
    pub time_zone: Tz,
    pub now: DateTime<Utc>,
    /// Moves orders by whole weeks, so that the newest is of the seven days before `now`.
    pub shifts_orders: bool,
}

impl Settings {
    /// An envelope whose id is derived from the source and the event's subject.
    fn envelope(&self, kind: &str, id: &str, time: DateTime<Utc>) -> Envelope {
        let mut envelope = Envelope::new(derived_id(&[&self.source, kind, id]).to_string(), &self.source, time);
        envelope.correlation_id = Some(self.source.clone());
        envelope
    }
}

/// Events of a file: products first, then orders and cancellations by time.
pub struct Imported {
    /// The events in the order of production.
    pub events: Vec<Event>,
    /// Counts of what was read and left out; produced events are not counted yet.
    pub report: Report,
}

pub async fn run(arguments: &ImportArguments, connections: &Connections) -> anyhow::Result<()> {
    let report = if arguments.dry_run {
        read(arguments, connections).await?.report
    } else {
        import(arguments, connections).await?
    };
    for line in &report.unreadable {
        eprintln!("line {}: {}", line.line, line.reason);
    }
    output::print(&if arguments.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_text() })
}

/// Reads a file and produces its events. Progress is on standard error.
pub async fn import(arguments: &ImportArguments, connections: &Connections) -> anyhow::Result<Report> {
    let Imported { events, mut report } = read(arguments, connections).await?;
    let mut topics: Vec<_> = events.iter().map(|event| event.data.event_type().topic()).collect();
    topics.sort_unstable();
    topics.dedup();
    let mut producer = EventProducer::connect(connections, "jangbogo-import", &topics).await?;
    let progress = Progress::of_one_phase("producing", "events", events.len() as u64);
    for event in &events {
        producer.send(event).await?;
        progress.advance(1);
    }
    let acknowledged = producer.finish().await?;
    drop(progress);
    for (event_type, events) in acknowledged {
        report.produced.insert(event_type.name(), Produced { topic: event_type.topic(), events });
    }
    Ok(report)
}

/// Reads a file and derives its events. Fails if no file is named and the format has no default file.
pub async fn read(arguments: &ImportArguments, connections: &Connections) -> anyhow::Result<Imported> {
    let path = arguments.path()?;
    let name = arguments.name.clone().unwrap_or_else(|| input::name(&path));
    let settings = Settings {
        source: format!("import/{name}"),
        time_zone: connections.time_zone,
        now: Utc::now(),
        shifts_orders: !arguments.no_shift,
    };
    let format = arguments.format;
    tokio::task::spawn_blocking(move || read_file(&path, format, &settings)).await?
}

fn read_file(path: &Path, format: Format, settings: &Settings) -> anyhow::Result<Imported> {
    let read = || {
        let mut input = input::open(path)?;
        match format {
            Format::OnlineRetail => online_retail::read(&mut input, settings),
            Format::Electronics => electronics::read(&mut input, settings),
        }
    };
    read().with_context(|| format!("cannot import {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_demo_shop_needs_no_file() {
        let demo = ImportArguments::default();
        assert_eq!(demo.path().unwrap(), PathBuf::from(DEMO_SHOP));
        let electronics = ImportArguments { format: Format::Electronics, ..demo };
        let error = electronics.path().unwrap_err().to_string();
        assert!(error.ends_with("name a file such as products.jsonl.gz"), "{error}");
        let file = Some(PathBuf::from("products.jsonl.gz"));
        assert_eq!(ImportArguments { file: file.clone(), ..electronics }.path().ok(), file);
    }
}
