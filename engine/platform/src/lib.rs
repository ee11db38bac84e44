//! Shared by all programs: connection settings, the shop's namespace, clients of Postgres, Kafka and Redis, graceful
//! shutdown, and `main`.

pub mod config;
pub mod database;
pub mod kafka;
pub mod namespace;
pub mod program;
pub mod reply_chunks;
pub mod shutdown;
pub mod vector_index;
