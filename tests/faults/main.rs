//! The fault suite: what breaks while a shop is open changes nothing of what it knows. Every test ends with a digest
//! that must equal the oracle's, which shares no code with the programs under test.
//!
//! CI runs the short form. All of it, one test after the other with its figures:
//!
//! ```text
//! JANGBOGO_FAULTS=full cargo test --release --test faults -- --test-threads 1 --nocapture
//! ```

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts of a test are small"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod cut_over;
mod group;
mod histories;
mod judge;
mod kills;
mod load;
mod offline;
mod oracle;
mod outages;
mod outbox;
mod past;
mod random;
mod refusals;
mod replaying;
mod restarts;
mod resume;
mod scale;
mod zombies;
