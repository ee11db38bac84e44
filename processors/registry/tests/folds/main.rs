//! Rows depend only on the set of events: every registered fold gives the same rows for shuffled, split and repeated
//! histories.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod properties;
mod tables;
