//! Shared code of the tests of several crates. With the feature `shop`: a shop on the real servers, its processes and its log.
//! Without it: generated events, random numbers by seed, hostile messages, and a language-model server that follows a
//! script.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, reason = "for tests only")]

#[cfg(feature = "shop")]
pub mod chat;
#[cfg(feature = "shop")]
pub mod group;
pub mod histories;
pub mod hostile;
#[cfg(feature = "shop")]
pub mod log;
pub mod random;
pub mod scripted_server;
#[cfg(feature = "shop")]
mod shop;

#[cfg(feature = "shop")]
pub use shop::{Digest, Shop, demo_lines, headers_of, jangbogo};
