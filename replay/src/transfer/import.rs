//! `replay import`: an export's files back into the log.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::HumanCount;
use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;
use serde::Serialize;

use super::compare::{self, Found};
use super::file::{self, FileReader};
use super::kafka::LogReader;
use super::manifest::{ExportedFile, ExportedPartition, INCOMPLETE, MANIFEST, Manifest};
use super::parallel::{self, Stop};
use super::produce::RecordProducer;
use super::progress::{Progress, Share};
use super::summary;
use super::topics::{ShopTopic, parse_name, shop_topics};

/// Puts an export's records back into the log
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo topology apply --namespace copy
  jangbogo replay import --from backup-2026-03-01 --namespace copy
  jangbogo replay import --from case-17 --topic order-completed --dry-run

Every file is checked against its SHA-256 before the first record is produced. Each record goes to the partition it came \
from, with its key, value and headers, and with the header `appendtime` for the time at which it was first appended: what \
is judged by that time is judged as it was then.

The topics must be empty, or hold the beginning of this export: an import that was interrupted goes on when the same \
command is repeated, and one that is complete produces nothing. With --append they may hold anything; records that stand \
there already, in the export's order, are not produced again. Decisions on dead letters name records by their offsets: \
they are imported only where every record keeps its own.")]
pub struct ImportArguments {
    /// The directory of an export
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// A topic, without namespace; may be given several times. Every topic of the export if left out
    #[arg(long = "topic", value_name = "TOPIC", value_parser = parse_name)]
    topics: Vec<String>,
    /// Add to topics that hold something else
    #[arg(long)]
    append: bool,
    /// Check files and topics, produce nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what was imported as JSON
    #[arg(long)]
    json: bool,
}

/// A partition that is imported.
pub struct ImportedPartition {
    /// Where to.
    pub topic: ShopTopic,
    /// Which of its partitions.
    pub number: i32,
    /// What from.
    pub file: ExportedFile,
    /// The offsets that the target has.
    pub target: Range<i64>,
    exported: ExportedPartition,
}

impl ImportedPartition {
    /// Whether records stand, or will stand, at other offsets than those they were exported from.
    fn moves(&self, found: &Found) -> bool {
        let is_gapless =
            self.exported.first_offset == 0 && self.exported.end_offset.unsigned_abs() == self.file.records;
        let is_prefix = self.target.start == 0 && self.target.end.unsigned_abs() == found.records;
        found.moved || (found.records < self.file.records && !(is_gapless && is_prefix))
    }
}

/// Imports, and prints what was imported. Progress is shown on standard error.
///
/// # Errors
/// When the export is damaged, the topics are not there, have other partitions or hold something else, or Kafka does not
/// accept a record. Only in the last case something was produced.
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
    /// Whether every record stands at the offset it was exported from, or would.
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
    // After the files were checked: by then, what a killed import had under way has arrived.
    let reader = LogReader::new(connections)?;
    for partition in &mut partitions {
        partition.target = reader.partition_offsets(&partition.topic, partition.number)?;
    }
    let found = find_all(&partitions, directory, connections, arguments.append)?;
    let mut moved = partitions.iter().zip(&found).any(|(partition, found)| partition.moves(found));
    if moved {
        check_decisions(&partitions)?;
    }
    if !arguments.dry_run {
        moved |= produce_all(&partitions, &found, directory, connections)?;
    }

    let topics = topic_summaries(&partitions, &found, arguments.dry_run);
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
        eprintln!("records stand at other offsets than those they were exported from");
    }
    summary::print(arguments.json, &summary, || {
        let rows: Vec<[String; 4]> = summary.topics.iter().map(row).collect();
        let table = summary::table(["topic", "records", "already there", "produced"], &rows);
        let pace = summary::pace(summary.produced, started.elapsed());
        format!("{table}\n\nproduced {} records ({pace})\n", HumanCount(summary.produced))
    })
}

fn load(directory: &Path) -> anyhow::Result<Manifest> {
    if let Some(manifest) = Manifest::load(&directory.join(MANIFEST))? {
        return Ok(manifest);
    }
    let place = directory.display();
    if directory.join(INCOMPLETE).exists() {
        bail!("the export in {place} was interrupted; repeat `jangbogo replay export … --to {place}` to complete it");
    }
    bail!("{place} holds no export: there is no {MANIFEST}");
}

/// What is to be imported, if the target has a place for it.
fn partitions(
    manifest: &Manifest,
    arguments: &ImportArguments,
    connections: &Connections,
) -> anyhow::Result<Vec<ImportedPartition>> {
    let shop_topics = shop_topics(&connections.namespace)?;
    for name in &arguments.topics {
        if !manifest.topics.iter().any(|exported| exported.topic == *name) {
            let there: Vec<&str> = manifest.topics.iter().map(|exported| exported.topic.as_str()).collect();
            bail!("{} holds nothing of {name}; it holds {}", arguments.from.display(), there.join(", "));
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

/// Decisions on dead letters name records by their offsets: of other records, they would be wrong.
fn check_decisions(partitions: &[ImportedPartition]) -> anyhow::Result<()> {
    let decisions = Topic::DeadLetterEvents.name();
    if partitions.iter().any(|partition| partition.topic.name == decisions && partition.file.records > 0) {
        bail!(
            "records would stand at other offsets than those they were exported from, and {decisions} names records by \
             their offsets: other records would be discarded; choose the other topics with --topic. Nothing was produced"
        );
    }
    Ok(())
}

fn verify_files(partitions: &[ImportedPartition], directory: &Path) -> anyhow::Result<()> {
    let progress = Progress::new("checking", partitions.iter().map(|partition| partition.file.records).sum());
    let stop = Stop::default();
    parallel::for_each(
        partitions,
        &stop,
        || Ok(()),
        |(), partition| {
            let mut share = Share::of(&progress);
            file::verify(directory, &partition.exported, &partition.file, || {
                if share.step() { stop.check() } else { Ok(()) }
            })
        },
    )
    .context("nothing was produced")
}

/// What the target holds already, for each partition.
fn find_all(
    partitions: &[ImportedPartition],
    directory: &Path,
    connections: &Connections,
    append: bool,
) -> anyhow::Result<Vec<Found>> {
    let standing = partitions.iter().map(|partition| partition.target.end - partition.target.start).sum::<i64>();
    let progress = Progress::new("comparing", standing.unsigned_abs());
    let stop = Stop::default();
    let found = Mutex::new(vec![Found::default(); partitions.len()]);
    let indexed: Vec<(usize, &ImportedPartition)> = partitions.iter().enumerate().collect();
    let reader = || LogReader::new(connections);
    parallel::for_each(&indexed, &stop, reader, |reader, (index, partition)| {
        let result = compare::find(partition, directory, reader, append, &progress, &stop)?;
        found.lock().unwrap_or_else(PoisonError::into_inner)[*index] = result;
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Produces what is missing. Whether a record got another offset than it was exported from.
fn produce_all(
    partitions: &[ImportedPartition],
    found: &[Found],
    directory: &Path,
    connections: &Connections,
) -> anyhow::Result<bool> {
    let missing = |(partition, found): (&ImportedPartition, &Found)| partition.file.records - found.records;
    let pending: Vec<(&ImportedPartition, &Found)> =
        partitions.iter().zip(found).filter(|pair| missing(*pair) > 0).collect();
    let progress = Progress::new("importing", pending.iter().copied().map(missing).sum());
    let producer = RecordProducer::new(connections, progress)?;
    let stop = Stop::default();
    parallel::for_each(
        &pending,
        &stop,
        || Ok(&producer),
        |producer, (partition, found)| {
            let mut reader = FileReader::open(directory, &partition.file)?;
            let mut position = 0;
            while let Some(record) = reader.next()? {
                position += 1;
                if position > found.records {
                    stop.check()?;
                    producer.send(&partition.topic, partition.number, &record.imported())?;
                }
            }
            Ok(())
        },
    )
    .and_then(|()| producer.finish())
    .context("the import is not complete; the same command goes on from there")
}

fn topic_summaries<'a>(partitions: &'a [ImportedPartition], found: &[Found], dry_run: bool) -> Vec<TopicSummary<'a>> {
    let mut summaries: Vec<TopicSummary<'a>> = Vec::new();
    for (partition, found) in partitions.iter().zip(found) {
        let topic = partition.topic.name.as_str();
        if summaries.last().is_none_or(|last| last.topic != topic) {
            summaries.push(TopicSummary { topic, records: 0, already_there: 0, produced: 0 });
        }
        if let Some(summary) = summaries.last_mut() {
            summary.records += partition.file.records;
            summary.already_there += found.records;
            summary.produced += if dry_run { 0 } else { partition.file.records - found.records };
        }
    }
    summaries
}

fn row(topic: &TopicSummary<'_>) -> [String; 4] {
    let [records, there, produced] = [topic.records, topic.already_there, topic.produced].map(HumanCount);
    [topic.topic.to_owned(), records.to_string(), there.to_string(), produced.to_string()]
}
