//! `replay export` and `replay import`: the log to files and back.
//!
//! An export is a directory with a file for each partition, `<topic>.<partition>.jsonl.zst`, and `manifest.json`. A
//! file is zstd-compressed text with a JSON object on each line, one for each record in the order of offsets; see
//! [`record::LogRecord`]. The manifest says which records there are and has the SHA-256 of each file's text, the one
//! that `zstdcat FILE | sha256sum` shows. Until the last file is complete it is called `incomplete.json`.
//!
//! An import sends each record to the partition that it came from. It is idempotent: it reads what the target holds
//! already and produces the rest.

mod compare;
mod export;
mod file;
mod import;
mod kafka;
mod manifest;
mod parallel;
mod produce;
mod record;
mod summary;
mod topics;

pub use export::{ExportArguments, export};
pub use import::{ImportArguments, import};
