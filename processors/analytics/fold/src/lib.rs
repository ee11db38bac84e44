//! What `analytics` folds: sales, members' purchases, and the conversation funnel.

pub mod funnel;
pub mod purchases;
pub mod sales;

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::catalogue;

/// Sales by day and category, how members buy, and what conversations come to.
pub static ANALYTICS: Processor = Processor {
    name: "analytics",
    fold_version: 3,
    batch_policy: BatchPolicy::Linger,
    projections: &[&catalogue::PROJECTION, &purchases::PROJECTION, &sales::PROJECTION, &funnel::PROJECTION],
};
