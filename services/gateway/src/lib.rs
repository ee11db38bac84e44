//! Ingress: commands become events.
//!
//! The **gateway** validates a command and writes its events to the `outbox` table, in the Postgres transaction that
//! also holds the decision and the idempotency key. The **outbox dispatcher** relays that table to Kafka. A shop may as
//! well insert into `outbox` in its own transaction: the contract is in `migrations/0001_outbox.sql`.
//!
//! With Kafka away commands are still accepted; with Postgres away they are refused with 503. Neither reads a
//! projection.

pub mod dispatcher;
mod http;
mod store;

pub use http::{GatewayArgs, run, serve};
