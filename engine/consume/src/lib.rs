//! Consumer groups: the source that polls Kafka, the worker that folds, static membership, and dead letters.

pub mod dead_letter;
pub mod membership;
pub mod orphaned_partitions;
pub mod source;
pub mod worker;
