//! The log: Kafka records decoded to events, read without a consumer group.

pub mod append_time;
pub mod decode;
pub mod end_offsets;
pub mod groupless;
mod partition;
pub mod reader;
mod record;
pub mod tail;
pub mod topic;

pub use partition::{Offsets, Partition};
pub use record::{Record, Refused};
