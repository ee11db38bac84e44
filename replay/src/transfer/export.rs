//! `replay export`: writes topics of the log to files.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use indicatif::{BinaryBytes, HumanCount};
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;
use serde::Serialize;

use super::file::FileWriter;
use super::kafka::LogReader;
use super::manifest::{ExportedFile, ExportedPartition, ExportedTopic, INCOMPLETE, MANIFEST, Manifest, file_name};
use super::parallel::{self, Stop};
use super::record::LogRecord;
use super::topics::{ShopTopic, parse_name};
use super::{summary, topics};

/// Writes topics of the log to compressed files
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").args(["topics", "all"]).required(true)), after_help = "\
Examples:
  jangbogo replay export --all --to backup-2026-03-01
  jangbogo replay export --topic order-completed --topic catalog-events --to case-17
  zstdcat case-17/order-completed.0.jsonl.zst | head -3

The directory gets a file per partition with a JSON line per record: offset, append time, key, value and all headers; \
and, when all files are complete, manifest.json with the SHA-256 of each file's text. Records that are appended after the \
start are left out. To resume an interrupted export, repeat the command.

--all is every topic of the log. Dead letters are derived from it and are exported when named: --topic \
dead-letter.recommendation.")]
pub struct ExportArguments {
    /// Topic without namespace; may be given several times
    #[arg(long = "topic", value_name = "TOPIC", value_parser = parse_name)]
    topics: Vec<String>,
    /// Every topic of the log
    #[arg(long)]
    all: bool,
    /// Directory: new, empty, or of an interrupted export
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub async fn export(arguments: ExportArguments, connections: Connections) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || run(&arguments, &connections)).await?
}

#[derive(Serialize)]
struct Summary<'a> {
    directory: &'a Path,
    /// True if an interrupted export was completed.
    resumed: bool,
    records: u64,
    text_bytes: u64,
    compressed_bytes: u64,
    seconds: f64,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

fn run(arguments: &ExportArguments, connections: &Connections) -> anyhow::Result<()> {
    let started = Instant::now();
    let directory = arguments.to.as_path();
    let selected = topics::select(&connections.namespace, &arguments.topics)?;
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let _lock = lock(directory)?;
    let interrupted = interrupted(directory)?;
    let resumed = interrupted.is_some();
    let mut manifest = match interrupted {
        Some(manifest) => {
            check_same(&manifest, directory, connections, &selected)?;
            manifest
        }
        None => begin(connections, &selected)?,
    };
    for topic in &mut manifest.topics {
        for partition in &mut topic.partitions {
            partition.file.take_if(|file| !directory.join(&file.name).exists());
        }
    }
    manifest.save(directory, INCOMPLETE)?;
    warn_of_lost_heads(&manifest);
    let done = files(&manifest).map(|file| file.records).sum::<u64>();
    let manifest = write_files(manifest, directory, connections)?;
    manifest.save(directory, INCOMPLETE)?;
    fs::rename(directory.join(INCOMPLETE), directory.join(MANIFEST))
        .and_then(|()| File::open(directory)?.sync_all())
        .with_context(|| format!("cannot write {}", directory.join(MANIFEST).display()))?;

    let took = started.elapsed();
    let total = |bytes: fn(&ExportedFile) -> u64| files(&manifest).map(bytes).sum::<u64>();
    let summary = Summary {
        directory,
        resumed,
        records: total(|file| file.records),
        text_bytes: total(|file| file.text_bytes),
        compressed_bytes: total(|file| file.compressed_bytes),
        seconds: took.as_secs_f64(),
        manifest: &manifest,
    };
    summary::print(arguments.json, &summary, || {
        let rate = summary::duration_and_rate(summary.records - done, took);
        let (records, directory) = (HumanCount(summary.records), directory.display());
        format!("{}\n\nexported {records} records to {directory} ({rate})\n", table(&manifest))
    })
}

/// Locks the directory: two exports would write the same files.
fn lock(directory: &Path) -> anyhow::Result<File> {
    let opened = File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => bail!("another export writes to {}", directory.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", directory.display())),
    }
}

/// Manifest of the directory's interrupted export; none in an empty directory.
fn interrupted(directory: &Path) -> anyhow::Result<Option<Manifest>> {
    if let Some(manifest) = Manifest::load(&directory.join(INCOMPLETE))? {
        return Ok(Some(manifest));
    }
    let path = directory.display();
    if directory.join(MANIFEST).exists() {
        bail!("{path} holds an export already; choose another directory, or remove this one");
    }
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {path}"))? {
        let name = entry.with_context(|| format!("cannot read {path}"))?.file_name();
        // Left by an export that was interrupted before it began.
        if name != format!("{INCOMPLETE}.partial").as_str() {
            bail!("{path} is not empty: it holds {}; choose another directory", name.display());
        }
    }
    Ok(None)
}

fn check_same(
    manifest: &Manifest,
    directory: &Path,
    connections: &Connections,
    selected: &[ShopTopic],
) -> anyhow::Result<()> {
    let expected: Vec<&str> = manifest.topics.iter().map(|topic| topic.topic.as_str()).collect();
    let found: Vec<&str> = selected.iter().map(|topic| topic.name.as_str()).collect();
    let namespace = connections.namespace.to_string();
    if (&manifest.namespace, &expected) != (&namespace, &found) {
        bail!(
            "{} holds an interrupted export of {} from the namespace {:?}, and this is one of {} from {namespace:?}; repeat \
             the first command to complete it, or remove the directory",
            directory.display(),
            expected.join(", "),
            manifest.namespace,
            found.join(", "),
        );
    }
    Ok(())
}

/// Captures the log's current offsets.
fn begin(connections: &Connections, selected: &[ShopTopic]) -> anyhow::Result<Manifest> {
    let reader = LogReader::new(connections)?;
    let mut topics = Vec::new();
    for topic in selected {
        let offsets = reader.offsets(topic)?;
        let partitions = (0..).zip(offsets).map(|(partition, offsets)| ExportedPartition {
            partition,
            first_offset: offsets.start,
            end_offset: offsets.end,
            file: None,
        });
        topics.push(ExportedTopic { topic: topic.name.clone(), partitions: partitions.collect() });
    }
    Ok(Manifest::begin(connections.namespace.to_string(), topics))
}

fn warn_of_lost_heads(manifest: &Manifest) {
    for topic in &manifest.topics {
        for partition in topic.partitions.iter().filter(|partition| partition.first_offset > 0) {
            let (topic, number, first) = (&topic.topic, partition.partition, partition.first_offset);
            eprintln!("{topic}/{number}: offsets 0 to {} are gone from Kafka; the export begins at {first}", first - 1);
        }
    }
}

/// A partition to export, and its topic's index in the manifest.
struct Task {
    topic_index: usize,
    topic: ShopTopic,
    partition: ExportedPartition,
}

fn write_files(manifest: Manifest, directory: &Path, connections: &Connections) -> anyhow::Result<Manifest> {
    let shop_topics = topics::shop_topics(&connections.namespace)?;
    let mut tasks = Vec::new();
    for (topic_index, exported) in manifest.topics.iter().enumerate() {
        let topic = shop_topics.iter().find(|topic| topic.name == exported.topic);
        let topic = topic.with_context(|| format!("there is no topic {}", exported.topic))?;
        for partition in exported.partitions.iter().filter(|partition| partition.file.is_none()) {
            tasks.push(Task { topic_index, topic: topic.clone(), partition: partition.clone() });
        }
    }
    let total = tasks.iter().map(|task| task.partition.end_offset - task.partition.first_offset).sum::<i64>();
    let progress = Progress::of_one_phase("exporting", "records", total.unsigned_abs());
    let stop = Stop::default();
    let manifest = Mutex::new(manifest);
    let reader = || LogReader::new(connections);
    parallel::for_each(&tasks, &stop, reader, |reader, task| {
        let file = write_file(task, directory, reader, &progress, &stop)?;
        let is_empty = file.records == 0;
        let mut manifest = manifest.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in &mut manifest.topics[task.topic_index].partitions {
            if partition.partition == task.partition.partition {
                partition.file = Some(file);
                break;
            }
        }
        // A resumed export writes an empty file again as fast as it reads its entry.
        if is_empty { Ok(()) } else { manifest.save(directory, INCOMPLETE) }
    })
    .context("the export is incomplete; repeat the command to resume it")?;
    Ok(manifest.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn write_file(
    task: &Task,
    directory: &Path,
    reader: &LogReader,
    progress: &Progress,
    stop: &Stop,
) -> anyhow::Result<ExportedFile> {
    let ExportedPartition { partition, first_offset, end_offset, .. } = task.partition;
    let mut writer = FileWriter::create(directory, file_name(&task.topic.name, partition))?;
    reader.read(&task.topic, partition, first_offset..end_offset, |message| {
        let Some(message) = message else { return stop.check() };
        writer.write(&LogRecord::from(message))?;
        progress.advance(1);
        stop.check()
    })?;
    writer.finish()
}

fn files(manifest: &Manifest) -> impl Iterator<Item = &ExportedFile> {
    manifest.topics.iter().flat_map(|topic| &topic.partitions).filter_map(|partition| partition.file.as_ref())
}

fn table(manifest: &Manifest) -> String {
    let mut rows = Vec::new();
    for topic in &manifest.topics {
        let files = || topic.partitions.iter().filter_map(|partition| partition.file.as_ref());
        rows.push([
            topic.topic.clone(),
            topic.partitions.len().to_string(),
            HumanCount(files().map(|file| file.records).sum()).to_string(),
            BinaryBytes(files().map(|file| file.text_bytes).sum()).to_string(),
            BinaryBytes(files().map(|file| file.compressed_bytes).sum()).to_string(),
        ]);
    }
    summary::table(["topic", "partitions", "records", "text", "on disk"], &rows)
}
