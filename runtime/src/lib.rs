//! What every processor and service of the pipeline stands on: configuration, the fold, checkpoints, publishing,
//! dead letters, shutdown and telemetry. A projection's author meets only [`fold`].

pub mod append_time;
pub mod breaker;
pub mod config;
mod coverage;
pub mod database;
pub mod dead_letter;
pub mod end_offsets;
mod fail_point;
pub mod fold;
pub mod kafka;
mod membership;
pub mod namespace;
pub mod pieces;
pub mod problem;
pub mod process;
pub mod program;
pub mod publisher;
pub mod reactor;
pub mod read;
mod refusal;
pub mod replay;
pub mod retry;
pub mod shutdown;
mod source;
pub mod store;
pub mod tail;
pub mod telemetry;
pub mod topology;
pub mod vector_index;
mod worker;
