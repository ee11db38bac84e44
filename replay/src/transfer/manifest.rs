//! The manifest of an export: its topics, partitions and files.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Manifest of a complete export; written last.
pub const MANIFEST: &str = "manifest.json";
/// Manifest of an export that is running or was interrupted.
pub const INCOMPLETE: &str = "incomplete.json";

const FORMAT: &str = "jangbogo-log";
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// Namespace of the exported shop.
    pub namespace: String,
    /// Start of the export: no record was appended later.
    pub begun_at: DateTime<Utc>,
    /// Topics in the topology's order.
    pub topics: Vec<ExportedTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedTopic {
    /// Name without namespace.
    pub topic: String,
    /// Every partition, by number.
    pub partitions: Vec<ExportedPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedPartition {
    pub partition: i32,
    /// The first offset that Kafka still had.
    pub first_offset: i64,
    /// The offset after the last.
    pub end_offset: i64,
    /// None while the file is incomplete.
    pub file: Option<ExportedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedFile {
    pub name: String,
    /// Number of records, which is the number of lines.
    pub records: u64,
    /// Number of bytes of the uncompressed text.
    pub text_bytes: u64,
    pub compressed_bytes: u64,
    /// SHA-256 of the uncompressed text, in hexadecimal.
    pub sha256: String,
    pub first_appended_at: Option<DateTime<Utc>>,
    pub last_appended_at: Option<DateTime<Utc>>,
}

impl Manifest {
    /// The manifest of an export that begins now.
    pub fn begin(namespace: String, topics: Vec<ExportedTopic>) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, namespace, begun_at: Utc::now(), topics }
    }

    /// Reads a manifest; none if the file does not exist.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let invalid = || format!("{} is not a manifest", path.display());
        // The version first: a later one may have other fields.
        let header: Header = serde_json::from_slice(&text).with_context(invalid)?;
        if (header.format.as_str(), header.version) != (FORMAT, VERSION) {
            let Header { format, version } = header;
            bail!("{} is {format} version {version}; this program reads {FORMAT} version {VERSION}", path.display());
        }
        let manifest: Self = serde_json::from_slice(&text).with_context(invalid)?;
        manifest.check().with_context(invalid)?;
        Ok(Some(manifest))
    }

    /// Replaces the file atomically and syncs it to disk.
    pub fn save(&self, directory: &Path, name: &str) -> anyhow::Result<()> {
        let path = directory.join(name);
        let partial = directory.join(format!("{name}.partial"));
        let write = || -> anyhow::Result<()> {
            let mut file = File::create(&partial)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            Ok(File::open(directory)?.sync_all()?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Checks names and numbers, so that no path leads out of the directory.
    fn check(&self) -> anyhow::Result<()> {
        for ExportedTopic { topic, partitions } in &self.topics {
            for (number, partition) in (0..).zip(partitions) {
                if partition.partition != number {
                    bail!("partition {number} of {topic} is missing");
                }
                if !(0..=partition.end_offset).contains(&partition.first_offset) {
                    bail!("{topic}/{number} begins at {} and ends at {}", partition.first_offset, partition.end_offset);
                }
                let expected = file_name(topic, number);
                if let Some(file) = &partition.file
                    && file.name != expected
                {
                    bail!("the file of {topic}/{number} is called {:?}, not {expected:?}", file.name);
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

pub fn file_name(topic: &str, partition: i32) -> String {
    format!("{topic}.{partition}.jsonl.zst")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = ExportedFile {
            name: "order-completed.0.jsonl.zst".to_owned(),
            records: 3,
            text_bytes: 300,
            compressed_bytes: 100,
            sha256: "00".repeat(32),
            first_appended_at: None,
            last_appended_at: Some("2026-03-01T12:00:00.250Z".parse().unwrap()),
        };
        let partition = ExportedPartition { partition: 0, first_offset: 2, end_offset: 5, file: Some(file) };
        Manifest::begin(
            "shop".to_owned(),
            vec![ExportedTopic { topic: "order-completed".to_owned(), partitions: vec![partition] }],
        )
    }

    fn refusal(change: impl FnOnce(&mut Manifest)) -> String {
        let directory = tempfile::tempdir().unwrap();
        let mut manifest = manifest();
        change(&mut manifest);
        manifest.save(directory.path(), MANIFEST).unwrap();
        format!("{:#}", Manifest::load(&directory.path().join(MANIFEST)).unwrap_err())
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(MANIFEST);
        assert_eq!(Manifest::load(&path).unwrap(), None);
        manifest().save(directory.path(), MANIFEST).unwrap();
        let read = Manifest::load(&path).unwrap().unwrap();
        assert_eq!(read, Manifest { begun_at: read.begun_at, ..manifest() });
    }

    #[test]
    fn an_inconsistent_manifest_is_refused() {
        assert!(refusal(|manifest| manifest.version = 2).contains("version 2; this program reads"));
        assert!(refusal(|manifest| manifest.topics[0].partitions[0].partition = 1).contains("partition 0"));
        assert!(refusal(|manifest| manifest.topics[0].partitions[0].first_offset = 6).contains("begins at 6"));
        let elsewhere = |manifest: &mut Manifest| {
            manifest.topics[0].partitions[0].file.as_mut().unwrap().name = "../secrets".to_owned();
        };
        assert!(refusal(elsewhere).contains("\"../secrets\", not \"order-completed.0.jsonl.zst\""));
    }
}
