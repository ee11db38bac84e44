//! Reads on the real servers: rows folded here, without Kafka and without a publisher, so that each store has
//! exactly the rows that a case needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod analytics;
mod as_of;
mod client;
mod conversation_events;
mod conversations;
mod live;
mod log;
mod members;
mod messages;
mod migrations;
mod search;
mod shop;
mod stream;
