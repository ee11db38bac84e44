//! The fault suite: faults under load do not change what a shop stores. Tests end with a comparison of all stores with
//! an oracle, which shares no code with the programs under test. Module docs name the fault class of the README's
//! table.
//!
//! CI runs the short form, tests beside each other. In the full form, with figures, each loads the whole machine:
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

mod answers;
mod cut_over;
mod histories;
mod judge;
mod kills;
mod load;
mod offline;
mod oracle;
mod outages;
mod outbox;
mod past;
mod refusals;
mod replaying;
mod restarts;
mod resume;
mod scale;
mod zombies;
