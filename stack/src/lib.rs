//! Provisions and runs the real servers that the pipeline stands on: Kafka, Postgres with pgvector, Redis, and
//! Elasticsearch with Korean analysis.
//!
//! [`Stack::up`] uses the servers that the environment names; else containers of `docker-compose.yml` where a Docker
//! engine answers; else it installs the servers below a stack directory and runs them as processes of this machine.
//! Everything listens on the loopback interface only, keeps its data when it is stopped, and is found again by the next call.

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
mod progress;
mod server;
mod stack;
mod state;
mod status;
mod tools;
mod user;
mod versions;

pub use error::{MissingTool, ProbeError, StackError};
pub use options::Options;
pub use progress::Progress;
pub use server::{Addresses, Server, without_password};
pub use stack::{ServerSignal, Stack};
pub use state::Source;
pub use status::{ServerState, ServerStatus};
