//! Lines of plain, gzip or zstd files, distinguished by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Context as _;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::report::UnreadableLine;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a file for decompression while it is read.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    let start = file.fill_buf()?;
    if start.starts_with(GZIP_MAGIC) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    if start.starts_with(ZSTD_MAGIC) {
        let decoder = StreamingDecoder::new(file).map_err(io::Error::other)?;
        return Ok(Box::new(BufReader::new(decoder)));
    }
    Ok(Box::new(file))
}

/// A file's name without directory and extensions: `orders` for `/data/orders.csv.gz`.
pub fn name(path: &Path) -> String {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    file_name.split('.').next().unwrap_or_default().to_owned()
}

/// Calls `parse` with every remaining line and its number, counted from `first`. Returns the refused lines.
pub fn each_line(
    input: &mut dyn BufRead,
    first: u64,
    mut parse: impl FnMut(&[u8], u64) -> Result<(), String>,
) -> anyhow::Result<Vec<UnreadableLine>> {
    let mut unreadable = Vec::new();
    let mut bytes = Vec::new();
    for line in first.. {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes).with_context(|| format!("cannot read line {line}"))? == 0 {
            break;
        }
        if let Err(reason) = parse(&bytes, line) {
            unreadable.push(UnreadableLine { line, reason });
        }
    }
    Ok(unreadable)
}
