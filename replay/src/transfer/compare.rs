//! How much of an export the target holds already.

use std::path::Path;

use anyhow::bail;

use super::file::FileReader;
use super::import::ImportedPartition;
use super::kafka::LogReader;
use super::parallel::Stop;
use super::progress::{Progress, Share};
use super::record::LogRecord;

/// What was found in a partition of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// So many records of the file, its first ones, stand there in their order.
    pub records: u64,
    /// Whether one of them stands at another offset than it was exported from.
    pub moved: bool,
}

/// Reads a partition of the target beside the file. With `append`, other records may stand before, between and after
/// those of the file.
///
/// # Errors
/// When something else stands there and `append` is not given, or either cannot be read.
pub fn find(
    partition: &ImportedPartition,
    directory: &Path,
    reader: &LogReader,
    append: bool,
    progress: &Progress,
    stop: &Stop,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    if partition.target.is_empty() {
        return Ok(found);
    }
    let mut file = FileReader::open(directory, &partition.file)?;
    let mut next = file.next()?.map(LogRecord::imported);
    let mut share = Share::of(progress);
    let (topic, number) = (&partition.topic, partition.number);
    reader.read(topic, number, partition.target.clone(), |message| {
        let Some(message) = message else { return stop.check() };
        let standing = LogRecord::read(message);
        match &next {
            Some(expected) if expected.has_content_of(&standing) => {
                found.records += 1;
                found.moved |= expected.offset != standing.offset;
                next = file.next()?.map(LogRecord::imported);
            }
            _ if append => {}
            _ => bail!(
                "{}/{number} is not empty: what stands at offset {} is not of this export; import into a namespace whose \
                 topics are empty, or add to what is there with --append. Nothing was produced",
                topic.kafka_name,
                standing.offset,
            ),
        }
        if share.step() { stop.check() } else { Ok(()) }
    })?;
    Ok(found)
}
