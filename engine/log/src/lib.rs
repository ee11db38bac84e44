//! The log: records in Kafka as events, read without a consumer group.

pub mod append_time;
pub mod decode;
pub mod end_offsets;
mod partition;
pub mod reader;
mod record;
pub mod tail;
pub mod topic;

pub use partition::{Offsets, Partition};
pub use record::{Record, Refused};
