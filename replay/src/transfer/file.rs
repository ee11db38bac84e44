//! A partition's file: zstd-compressed JSON lines, with the SHA-256 of the text.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::manifest::{ExportedFile, ExportedPartition};
use super::record::LogRecord;

/// zstd level: fast, and within a few percent of the ratio of slower levels on such text.
const COMPRESSION_LEVEL: i32 = 3;

/// Writes a file under a temporary name until it is complete.
pub struct FileWriter {
    encoder: zstd::Encoder<'static, File>,
    partial: PathBuf,
    path: PathBuf,
    name: String,
    line: Vec<u8>,
    hash: Sha256,
    records: u64,
    text_bytes: u64,
    appended: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl FileWriter {
    /// Creates a file, or truncates one that was never finished.
    pub fn create(directory: &Path, name: String) -> anyhow::Result<Self> {
        let path = directory.join(&name);
        let partial = directory.join(format!("{name}.partial"));
        let begin = || {
            let mut encoder = zstd::Encoder::new(File::create(&partial)?, COMPRESSION_LEVEL)?;
            encoder.include_checksum(true)?;
            Ok(encoder)
        };
        let encoder = begin().map_err(unwritable(&path))?;
        let (line, hash) = (Vec::new(), Sha256::new());
        Ok(Self { encoder, partial, path, name, line, hash, records: 0, text_bytes: 0, appended: None })
    }

    pub fn write(&mut self, record: &LogRecord) -> anyhow::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record).context("cannot write a record as JSON")?;
        self.line.push(b'\n');
        self.hash.update(&self.line);
        self.encoder.write_all(&self.line).map_err(unwritable(&self.path))?;
        self.records += 1;
        self.text_bytes += self.line.len() as u64;
        if let Some(time) = record.appended_at {
            self.appended = Some(self.appended.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        }
        Ok(())
    }

    /// Completes the file, syncs it to disk and renames it.
    pub fn finish(self) -> anyhow::Result<ExportedFile> {
        let end = |encoder: zstd::Encoder<'static, File>| {
            let file = encoder.finish()?;
            file.sync_all()?;
            let compressed_bytes = file.metadata()?.len();
            fs::rename(&self.partial, &self.path)?;
            Ok(compressed_bytes)
        };
        let compressed_bytes = end(self.encoder).map_err(unwritable(&self.path))?;
        Ok(ExportedFile {
            name: self.name,
            records: self.records,
            text_bytes: self.text_bytes,
            compressed_bytes,
            sha256: hex::encode(self.hash.finalize()),
            first_appended_at: self.appended.map(|(first, _)| first),
            last_appended_at: self.appended.map(|(_, last)| last),
        })
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> anyhow::Error {
    let path = path.display().to_string();
    move |error| anyhow::Error::new(error).context(format!("cannot write {path}"))
}

/// Reads a file's records in order.
pub struct FileReader {
    text: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    path: PathBuf,
    line: Vec<u8>,
    lines: u64,
}

impl FileReader {
    pub fn open(directory: &Path, file: &ExportedFile) -> anyhow::Result<Self> {
        let path = directory.join(&file.name);
        let open = || zstd::Decoder::new(File::open(&path)?);
        let decoder = open().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { text: BufReader::with_capacity(1 << 17, decoder), path, line: Vec::new(), lines: 0 })
    }

    /// The next record; none at the end.
    pub fn next(&mut self) -> anyhow::Result<Option<LogRecord>> {
        self.line.clear();
        let read = self.text.read_until(b'\n', &mut self.line);
        let read = read.with_context(|| format!("cannot read {} after line {}", self.path.display(), self.lines))?;
        if read == 0 {
            return Ok(None);
        }
        self.lines += 1;
        let record = LogRecord::parse(&self.line);
        let record = record.with_context(|| format!("{} line {}: not a record", self.path.display(), self.lines))?;
        Ok(Some(record))
    }
}

/// Checks a file against the manifest and parses every record. `each` is called after each record, and may end the
/// check with an error.
pub fn verify(
    directory: &Path,
    partition: &ExportedPartition,
    file: &ExportedFile,
    mut each: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = FileReader::open(directory, file)?;
    let path = reader.path.clone();
    let mut hash = Sha256::new();
    let mut next_offset = partition.first_offset;
    let mut first_failure = None;
    loop {
        let record = reader.next();
        hash.update(&reader.line);
        match record {
            Ok(None) => break,
            Ok(Some(record)) => {
                if !(next_offset..partition.end_offset).contains(&record.offset) {
                    let line = format!("{} line {}", path.display(), reader.lines);
                    let expected = format!("{next_offset} to {}", partition.end_offset - 1);
                    first_failure.get_or_insert(anyhow::anyhow!("{line}: offset {}, not {expected}", record.offset));
                }
                next_offset = record.offset.saturating_add(1);
            }
            // A wrong digest is the better message for a changed text.
            Err(error) if error.is::<serde_json::Error>() => {
                first_failure.get_or_insert(error);
            }
            Err(error) => return Err(error.context(damaged(&path))),
        }
        each()?;
    }
    let found = hex::encode(hash.finalize());
    if found != file.sha256 {
        let expected = &file.sha256;
        bail!("{}: the SHA-256 of the text must be {expected} and is {found}", damaged(&path));
    }
    if let Some(failure) = first_failure {
        return Err(failure);
    }
    if reader.lines != file.records {
        bail!("{} holds {} records; the manifest says {}", path.display(), reader.lines, file.records);
    }
    Ok(())
}

fn damaged(path: &Path) -> String {
    format!("{} is damaged", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::record::Bytes;

    fn record(offset: i64) -> LogRecord {
        let appended_at = DateTime::from_timestamp_millis(1_700_000_000_000 - offset);
        let value = Some(Bytes(format!("value {offset}").into_bytes()));
        LogRecord { offset, appended_at, key: None, value, headers: Vec::new() }
    }

    fn written(directory: &Path, offsets: &[i64]) -> (ExportedPartition, ExportedFile) {
        let mut writer = FileWriter::create(directory, "topic.0.jsonl.zst".to_owned()).unwrap();
        for offset in offsets {
            writer.write(&record(*offset)).unwrap();
        }
        (ExportedPartition { partition: 0, first_offset: 3, end_offset: 9, file: None }, writer.finish().unwrap())
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let (partition, file) = written(directory.path(), &[3, 4, 8]);
        assert_eq!(file.records, 3);
        assert_eq!(file.first_appended_at, record(8).appended_at);
        assert_eq!(file.last_appended_at, record(3).appended_at);
        let mut reader = FileReader::open(directory.path(), &file).unwrap();
        for offset in [3, 4, 8] {
            assert_eq!(reader.next().unwrap(), Some(record(offset)));
        }
        assert_eq!(reader.next().unwrap(), None);
        verify(directory.path(), &partition, &file, || Ok(())).unwrap();
        assert!(!directory.path().join("topic.0.jsonl.zst.partial").exists());
    }

    #[test]
    fn damage_is_described() {
        let directory = tempfile::tempdir().unwrap();
        let (partition, file) = written(directory.path(), &[3, 4, 8]);
        let path = directory.path().join(&file.name);
        let refusal =
            |file: &ExportedFile| format!("{:#}", verify(directory.path(), &partition, file, || Ok(())).unwrap_err());

        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        assert!(refusal(&file).contains("incomplete frame"), "{}", refusal(&file));

        let text = zstd::decode_all(whole.as_slice()).unwrap();
        let changed = String::from_utf8(text).unwrap().replace("value 4", "value 5");
        fs::write(&path, zstd::encode_all(changed.as_bytes(), 1).unwrap()).unwrap();
        let message = refusal(&file);
        assert!(message.contains("topic.0.jsonl.zst is damaged: the SHA-256"), "{message}");
        assert!(message.contains(&file.sha256), "{message}");

        // Records are checked even if the digest matches.
        let (_, unordered) = written(directory.path(), &[3, 8, 4]);
        assert!(refusal(&unordered).contains("line 3: offset 4, not 9 to 8"), "{}", refusal(&unordered));
        let (_, file) = written(directory.path(), &[3]);
        assert!(refusal(&ExportedFile { records: 2, ..file }).contains("holds 1 records; the manifest says 2"));
        fs::remove_file(&path).unwrap();
        assert!(refusal(&unordered).contains("No such file"));
    }
}
