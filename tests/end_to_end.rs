//! End-to-end tests: each opens a shop of its own on shared real servers. One program, so that the linker runs once and
//! tests that wait for servers run beside others.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod conversation;
mod dead_letters;
mod evaluate;
mod garbage;
mod grounding;
mod healing;
mod language_model;
mod membership;
mod models;
mod pattern;
mod search;
mod transfer;
mod upgrade;
