//! Reads on the real servers: rows folded here, without Kafka and without a publisher, so that each store says
//! exactly what a case needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod analytics;
mod client;
mod conversations;
mod live;
mod log;
mod members;
mod messages;
mod migrations;
mod named;
mod search;
mod shop;
mod stream;
mod talk;
