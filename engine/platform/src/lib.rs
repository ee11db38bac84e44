//! Shared by all programs: connection settings, the shop's namespace, clients of Postgres, Kafka and Redis, graceful
//! shutdown, and `main`.

pub mod config;
pub mod database;
pub mod kafka;
pub mod namespace;
pub mod program;
pub mod progress;
pub mod reply_chunks;
pub mod running_stack;
pub mod servers;
pub mod shutdown;
pub mod vector_index;
