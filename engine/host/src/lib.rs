//! Programs that host a processor: its fold workers, reactors and publisher, and the page that describes the pipeline.

pub mod app;
pub mod process;
pub mod topology;
