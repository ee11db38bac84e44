//! Runs a processor: its fold workers, reactors, publisher and admin server. Holds the topology page and its check,
//! too.

pub mod app;
pub mod process;
