//! `jangbogo events import`: a shop's files into the log.

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

/// What a file looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Online Retail II: CSV with a line for each invoice line
    #[default]
    OnlineRetail,
    /// Icecat's open catalogue of electronics: a JSON object for each line
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
    /// The file; the demo shop if left out
    #[arg(env = "JANGBOGO_DEMO_SHOP")]
    pub file: Option<PathBuf>,
    /// What the file looks like
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Keep the file's times; otherwise all are moved by whole weeks, so that the newest falls within the last seven days.
    /// A catalogue's are never moved
    #[arg(long)]
    pub no_shift: bool,
    /// What ids are derived from; the file's name up to its first dot if left out
    #[arg(long)]
    pub name: Option<String>,
    /// Read and report, produce nothing
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
                bail!("no file is named, and electronics are not shipped: name a file such as products.jsonl.gz")
            }
        }
    }
}

/// What the events depend on besides the file.
pub struct Settings {
    /// Who says the events: `import/<file name>`.
    pub source: String,
    /// The zone of the file's times.
    pub time_zone: Tz,
    /// When the file is imported.
    pub now: DateTime<Utc>,
    /// Whether orders are moved by whole weeks, so that the newest falls within the seven days before now.
    pub shifts_orders: bool,
}

impl Settings {
    /// An envelope whose id is derived from the file's name and what the event is of.
    fn envelope(&self, kind: &str, id: &str, time: DateTime<Utc>) -> Envelope {
        let mut envelope = Envelope::new(derived_id(&[&self.source, kind, id]).to_string(), &self.source, time);
        envelope.correlation_id = Some(self.source.clone());
        envelope
    }
}

/// What a file holds: products first, then orders and cancellations by time.
pub struct Imported {
    /// In the order in which they are to be produced.
    pub events: Vec<Event>,
    /// What was read and what was left out. Nothing is counted as produced yet.
    pub report: Report,
}

/// Imports, and prints what was done.
///
/// # Errors
/// See [`import`].
pub async fn run(arguments: &ImportArguments, connections: &Connections) -> anyhow::Result<()> {
    let report = if arguments.dry_run {
        read(arguments, connections).await?.report
    } else {
        import(arguments, connections).await?
    };
    for line in &report.unreadable {
        eprintln!("line {}: {}", line.line, line.reason);
    }
    let text = if arguments.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_text() };
    output::print(&text)?;
    Ok(())
}

/// Reads a file and produces its events. Progress is shown on standard error.
///
/// # Errors
/// When the file cannot be read, Kafka cannot be reached, a topic is missing, or an event is not acknowledged.
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

/// Reads a file and derives its events.
///
/// # Errors
/// When the file cannot be read, or none is named and the format has none of its own.
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
