//! `replay import`: appends an export's records to the log.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::HumanCount;
use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;
use serde::Serialize;

use super::compare::{self, Present};
use super::file::{self, FileReader};
use super::kafka::LogReader;
use super::manifest::{ExportedFile, ExportedPartition, INCOMPLETE, MANIFEST, Manifest};
use super::parallel::{self, Stop};
use super::produce::RecordProducer;
use super::summary;
use super::topics::{ShopTopic, parse_name, shop_topics};

/// Appends an export's records to the log
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo topology apply --namespace copy
  jangbogo replay import --from backup-2026-03-01 --namespace copy
  jangbogo replay import --from case-17 --topic order-completed --dry-run

Every file is checked against its SHA-256 before the first record is produced. Each record goes to the partition it came \
from, with its key, value and headers, and with the header `appendtime` for the time at which it was first appended, by \
which the folds judge it.

The topics must be empty, or hold the beginning of this export. An import is idempotent: repeat the command to resume an \
interrupted one; a complete one produces nothing. With --append the topics may hold other records; records that are there \
already, in the export's order, are not produced again. Decisions on dead letters name records by their offsets: they are \
imported only if every record keeps its offset.")]
pub struct ImportArguments {
    /// Directory of the export
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Topic without namespace; may be given several times [default: every topic of the export]
    #[arg(long = "topic", value_name = "TOPIC", value_parser = parse_name)]
    topics: Vec<String>,
    /// Append to topics that hold other records
    #[arg(long)]
    append: bool,
    /// Check files and topics, produce nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub struct ImportedPartition {
    pub topic: ShopTopic,
    /// Partition number, in the export and the target.
    pub number: i32,
    pub file: ExportedFile,
    /// Offsets of the target's records.
    pub target: Range<i64>,
    exported: ExportedPartition,
}

impl ImportedPartition {
    /// True if records have, or will get, other offsets than in the export.
    fn moves(&self, present: &Present) -> bool {
        let is_gapless =
            self.exported.first_offset == 0 && self.exported.end_offset.unsigned_abs() == self.file.records;
        let is_prefix = self.target.start == 0 && self.target.end.unsigned_abs() == present.records;
        present.moved || (present.records < self.file.records && !(is_gapless && is_prefix))
    }
}

/// Imports and prints a summary. If it fails, no record was produced unless Kafka rejected one.
pub async fn import(arguments: ImportArguments, connections: Connections) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || run(&arguments, &connections)).await?
}

#[derive(Serialize)]
struct Summary<'a> {
    directory: &'a Path,
    namespace: String,
    dry_run: bool,
    records: u64,
    already_there: u64,
    produced: u64,
    /// True if every record has, or would get, its offset in the export.
    offsets_kept: bool,
    seconds: f64,
    topics: Vec<TopicSummary<'a>>,
}

#[derive(Serialize)]
struct TopicSummary<'a> {
    topic: &'a str,
    records: u64,
    already_there: u64,
    produced: u64,
}

fn run(arguments: &ImportArguments, connections: &Connections) -> anyhow::Result<()> {
    let started = Instant::now();
    let directory = arguments.from.as_path();
    let manifest = load(directory)?;
    let mut partitions = partitions(&manifest, arguments, connections)?;
    verify_files(&partitions, directory)?;
    // Read after the check of the files: by then, records in flight of a killed import have arrived.
    let reader = LogReader::new(connections)?;
    for partition in &mut partitions {
        partition.target = reader.partition_offsets(&partition.topic, partition.number)?;
    }
    let present = find_all(&partitions, directory, connections, arguments.append)?;
    let mut moved = partitions.iter().zip(&present).any(|(partition, present)| partition.moves(present));
    if moved {
        check_decisions(&partitions)?;
    }
    if !arguments.dry_run {
        moved |= produce_all(&partitions, &present, directory, connections)?;
    }

    let topics = topic_summaries(&partitions, &present, arguments.dry_run);
    let total = |records: fn(&TopicSummary<'_>) -> u64| topics.iter().map(records).sum::<u64>();
    let summary = Summary {
        directory,
        namespace: connections.namespace.to_string(),
        dry_run: arguments.dry_run,
        records: total(|topic| topic.records),
        already_there: total(|topic| topic.already_there),
        produced: total(|topic| topic.produced),
        offsets_kept: !moved,
        seconds: started.elapsed().as_secs_f64(),
        topics,
    };
    if moved {
        eprintln!("records stand at other offsets than in the export");
    }
    summary::print(arguments.json, &summary, || {
        let rows: Vec<[String; 4]> = summary.topics.iter().map(row).collect();
        let table = summary::table(["topic", "records", "already there", "produced"], &rows);
        let rate = summary::duration_and_rate(summary.produced, started.elapsed());
        format!("{table}\n\nproduced {} records ({rate})\n", HumanCount(summary.produced))
    })
}

fn load(directory: &Path) -> anyhow::Result<Manifest> {
    if let Some(manifest) = Manifest::load(&directory.join(MANIFEST))? {
        return Ok(manifest);
    }
    let path = directory.display();
    if directory.join(INCOMPLETE).exists() {
        bail!("the export in {path} was interrupted; repeat `jangbogo replay export … --to {path}` to complete it");
    }
    bail!("{path} holds no export: there is no {MANIFEST}");
}

/// Partitions to import, after a check that the target has them.
fn partitions(
    manifest: &Manifest,
    arguments: &ImportArguments,
    connections: &Connections,
) -> anyhow::Result<Vec<ImportedPartition>> {
    let shop_topics = shop_topics(&connections.namespace)?;
    for name in &arguments.topics {
        if !manifest.topics.iter().any(|exported| exported.topic == *name) {
            let topics: Vec<&str> = manifest.topics.iter().map(|exported| exported.topic.as_str()).collect();
            bail!("{} holds nothing of {name}; it holds {}", arguments.from.display(), topics.join(", "));
        }
    }
    let reader = LogReader::new(connections)?;
    let mut imported = Vec::new();
    for exported in &manifest.topics {
        let name = &exported.topic;
        if !arguments.topics.is_empty() && !arguments.topics.contains(name) {
            continue;
        }
        let Some(topic) = shop_topics.iter().find(|topic| topic.name == *name) else {
            bail!("the export holds {name}, and a shop has no such topic; choose others with --topic");
        };
        let target = reader.offsets(topic)?;
        if target.len() != exported.partitions.len() {
            bail!(
                "{} has {} partitions and the export of {name} {}: records would lose their order; import into a namespace \
                 whose topic has as many. Nothing was produced",
                topic.kafka_name,
                target.len(),
                exported.partitions.len(),
            );
        }
        for (partition, target) in exported.partitions.iter().zip(target) {
            let number = partition.partition;
            let file =
                partition.file.clone().with_context(|| format!("the manifest has no file of {name}/{number}"))?;
            imported.push(ImportedPartition {
                topic: topic.clone(),
                number,
                file,
                target,
                exported: partition.clone(),
            });
        }
    }
    Ok(imported)
}

/// Decisions on dead letters name records by their offsets, so they are wrong for moved records.
fn check_decisions(partitions: &[ImportedPartition]) -> anyhow::Result<()> {
    let decisions = Topic::DeadLetterEvents.name();
    if partitions.iter().any(|partition| partition.topic.name == decisions && partition.file.records > 0) {
        bail!(
            "records would get other offsets than in the export, and {decisions} names records by their offsets: other \
             records would be discarded; choose the other topics with --topic. Nothing was produced"
        );
    }
    Ok(())
}

fn verify_files(partitions: &[ImportedPartition], directory: &Path) -> anyhow::Result<()> {
    let progress =
        Progress::of_one_phase("checking", "records", partitions.iter().map(|partition| partition.file.records).sum());
    let stop = Stop::default();
    parallel::for_each(
        partitions,
        &stop,
        || Ok(()),
        |(), partition| {
            file::verify(directory, &partition.exported, &partition.file, || {
                progress.advance(1);
                stop.check()
            })
        },
    )
    .context("nothing was produced")
}

/// Records that the target holds already, for each partition.
fn find_all(
    partitions: &[ImportedPartition],
    directory: &Path,
    connections: &Connections,
    append: bool,
) -> anyhow::Result<Vec<Present>> {
    let total = partitions.iter().map(|partition| partition.target.end - partition.target.start).sum::<i64>();
    let progress = Progress::of_one_phase("comparing", "records", total.unsigned_abs());
    let stop = Stop::default();
    let present = Mutex::new(vec![Present::default(); partitions.len()]);
    let indexed: Vec<(usize, &ImportedPartition)> = partitions.iter().enumerate().collect();
    let reader = || LogReader::new(connections);
    parallel::for_each(&indexed, &stop, reader, |reader, (index, partition)| {
        let result = compare::find(partition, directory, reader, append, &progress, &stop)?;
        present.lock().unwrap_or_else(PoisonError::into_inner)[*index] = result;
        Ok(())
    })?;
    Ok(present.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Produces the missing records. Returns true if one got another offset than in the export.
fn produce_all(
    partitions: &[ImportedPartition],
    present: &[Present],
    directory: &Path,
    connections: &Connections,
) -> anyhow::Result<bool> {
    let missing = |(partition, present): (&ImportedPartition, &Present)| partition.file.records - present.records;
    let pending: Vec<(&ImportedPartition, &Present)> =
        partitions.iter().zip(present).filter(|pair| missing(*pair) > 0).collect();
    let progress = Progress::of_one_phase("importing", "records", pending.iter().copied().map(missing).sum());
    let producer = RecordProducer::new(connections, progress)?;
    let stop = Stop::default();
    parallel::for_each(
        &pending,
        &stop,
        || Ok(&producer),
        |producer, (partition, present)| {
            let mut reader = FileReader::open(directory, &partition.file)?;
            let mut position = 0;
            while let Some(record) = reader.next()? {
                position += 1;
                if position > present.records {
                    stop.check()?;
                    producer.send(&partition.topic, partition.number, &record.imported())?;
                }
            }
            Ok(())
        },
    )
    .and_then(|()| producer.finish())
    .context("the import is incomplete; repeat the command to resume it")
}

fn topic_summaries<'a>(
    partitions: &'a [ImportedPartition],
    present: &[Present],
    dry_run: bool,
) -> Vec<TopicSummary<'a>> {
    let mut summaries: Vec<TopicSummary<'a>> = Vec::new();
    for (partition, present) in partitions.iter().zip(present) {
        let topic = partition.topic.name.as_str();
        if summaries.last().is_none_or(|last| last.topic != topic) {
            summaries.push(TopicSummary { topic, records: 0, already_there: 0, produced: 0 });
        }
        if let Some(summary) = summaries.last_mut() {
            summary.records += partition.file.records;
            summary.already_there += present.records;
            summary.produced += if dry_run { 0 } else { partition.file.records - present.records };
        }
    }
    summaries
}

fn row(topic: &TopicSummary<'_>) -> [String; 4] {
    let [records, there, produced] = [topic.records, topic.already_there, topic.produced].map(HumanCount);
    [topic.topic.to_owned(), records.to_string(), there.to_string(), produced.to_string()]
}
