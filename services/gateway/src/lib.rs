//! Ingress: commands over HTTP, and the outbox dispatcher.
//!
//! The **gateway** validates a command and writes its events to the `outbox` table, in the Postgres transaction that
//! also holds the decision and the idempotency key. The **outbox dispatcher** relays that table to Kafka. A shop may
//! also insert into `outbox` in its own transaction: the contract is in `migrations/0001_outbox.sql`.
//!
//! | route | takes |
//! |---|---|
//! | `POST /v1/products`, `POST /v1/products/retirements` | up to 5,000 products: a JSON array, or NDJSON |
//! | `POST /v1/orders` | an order, once per `order_id` |
//! | `POST /v1/orders/{order_id}/cancellations` | units of an order of this gateway's, no more than are left |
//! | `POST /v1/cancellations` | a cancellation as a fact, once per `cancellation_id` |
//! | `POST /v1/behaviors` | up to 5,000 behaviours: a JSON array, or NDJSON |
//! | `POST /v1/conversations` | a new conversation of a member; the answer names its id |
//! | `PATCH /v1/conversations/{conversation_id}` | another title |
//! | `POST /v1/conversations/{conversation_id}/messages` | a message of the member, while the conversation is open |
//! | `POST /v1/conversations/{conversation_id}/closing` | the end of a conversation; no body |
//! | `POST /v1/members/{member_id}/preferences/retractions` | a preference that no longer holds, as a fact |
//! | `GET /openapi.json`, `/healthz`, `/readyz`, `/metrics` | |
//!
//! A command is validated as a whole and answered with 202 and the ids of its events, or with RFC 9457 problem details
//! that list everything that was wrong. An `Idempotency-Key` makes repeating it harmless for 24 hours.
//!
//! Orders and conversations are decided on the gateway's own tables, which are not in the log: after the database was
//! wiped, earlier orders and conversations are unknown here, and cancelling or continuing them answers 404.
//!
//! While Kafka is unavailable, commands are still accepted; while Postgres is unavailable or not migrated yet, they are
//! answered with 503. Neither program reads a projection.

pub mod dispatcher;
mod http;
mod store;

pub use http::{GatewayArgs, run, serve};
