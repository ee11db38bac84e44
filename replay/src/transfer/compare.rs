//! Finds the records of an export that the target holds already.

use std::path::Path;

use anyhow::bail;
use jangbogo_platform::progress::Progress;

use super::file::FileReader;
use super::import::ImportedPartition;
use super::kafka::LogReader;
use super::parallel::Stop;
use super::record::LogRecord;

/// Records of a file that a partition of the target holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Number of records, which are the first ones of the file in its order.
    pub records: u64,
    /// True if one of them has another offset than in the export.
    pub moved: bool,
}

/// Reads a partition of the target beside the file. With `append`, other records may be before, between and after those
/// of the file.
///
/// # Errors
/// When the partition holds other records and `append` is not given, or either cannot be read.
pub fn find(
    partition: &ImportedPartition,
    directory: &Path,
    reader: &LogReader,
    append: bool,
    progress: &Progress,
    stop: &Stop,
) -> anyhow::Result<Present> {
    let mut present = Present::default();
    if partition.target.is_empty() {
        return Ok(present);
    }
    let mut file = FileReader::open(directory, &partition.file)?;
    let mut next = file.next()?.map(LogRecord::imported);
    let (topic, number) = (&partition.topic, partition.number);
    reader.read(topic, number, partition.target.clone(), |message| {
        let Some(message) = message else { return stop.check() };
        let record = LogRecord::from(message);
        match &next {
            Some(expected) if expected.has_content_of(&record) => {
                present.records += 1;
                present.moved |= expected.offset != record.offset;
                next = file.next()?.map(LogRecord::imported);
            }
            _ if append => {}
            _ => bail!(
                "{}/{number} is not empty: the record at offset {} is not from this export; import into a namespace whose \
                 topics are empty, or add to what is there with --append. Nothing was produced",
                topic.kafka_name,
                record.offset,
            ),
        }
        progress.advance(1);
        stop.check()
    })?;
    Ok(present)
}
