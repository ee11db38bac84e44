//! Provisions and runs the real servers that the pipeline needs: Kafka, Postgres with pgvector, Redis, and
//! Elasticsearch with Korean analysis.
//!
//! [`Stack::up`] uses the servers that the environment names, else containers of `docker-compose.yml` where a Docker
//! engine is available, else native processes installed below the stack directory. They listen on the loopback
//! interface only.

mod command;
pub mod connections;
mod docker;
mod error;
mod files;
mod install;
mod layout;
mod native;
mod options;
mod ports;
mod probe;
mod process;
mod stack;
mod state;
mod status;
mod tools;
mod user;
mod versions;

pub use error::{MissingTool, ProbeError, StackError};
pub use jangbogo_platform::progress::ProgressReporter as Progress;
pub use jangbogo_platform::servers::{Addresses, Server, without_password};
pub use options::Options;
pub use stack::{ServerSignal, Stack};
pub use state::Source;
pub use status::{ServerState, ServerStatus};
