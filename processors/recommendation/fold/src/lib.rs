//! Fold of `recommendation`: popularity, co-purchase, and five shared projections.

pub mod co_purchase;
pub mod popularity;

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::{catalogue, conversation, history, preferences, vectors};

pub static RECOMMENDATION: Processor = Processor {
    name: "recommendation",
    fold_version: 3,
    batch_policy: BatchPolicy::Immediate,
    projections: &[
        &catalogue::PROJECTION,
        &vectors::PROJECTION,
        &preferences::KNOWN,
        &conversation::RECOMMENDED,
        &history::PROJECTION,
        &popularity::PROJECTION,
        &co_purchase::PROJECTION,
    ],
};
