//! Consuming topics in a group: the source that polls, the worker that folds, static membership, and dead letters.

pub mod dead_letter;
pub mod membership;
pub mod orphaned_partitions;
pub mod source;
pub mod worker;
