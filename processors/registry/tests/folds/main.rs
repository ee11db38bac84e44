//! Rows depend only on the set of events: every registered fold over shuffled, split and repeated histories.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod properties;
mod tables;
