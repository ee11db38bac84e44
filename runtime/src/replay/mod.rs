//! What replaying the log takes: reading it without a group, and folding what is read into a generation of one's own.

mod folder;
mod log;

pub use self::folder::{FoldError, Folded, Folder, Letters};
pub use self::log::{Bounds, Log, LogError, LogOptions, bounds};
pub use crate::source::{Record, Refused};
