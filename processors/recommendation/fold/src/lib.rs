//! What `recommendation` folds: popularity and co-purchase of its own, and five shared projections.

pub mod co_purchase;
pub mod popularity;

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::{catalogue, conversation, history, preferences, vectors};

/// Similar products, popular and trending ones, and what members bought and looked at.
pub static RECOMMENDATION: Processor = Processor {
    name: "recommendation",
    fold_version: 2,
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
