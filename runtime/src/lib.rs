//! What every processor and service of the pipeline stands on: configuration, the fold, checkpoints, publishing,
//! dead letters, shutdown and telemetry. A projection's author meets only [`fold`].

pub mod config;
pub mod database;
pub mod namespace;
pub mod shutdown;
pub mod telemetry;
pub mod topology;
