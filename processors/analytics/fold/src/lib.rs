//! Fold of `analytics`: sales, members' purchases, and the conversation funnel.

pub mod funnel;
pub mod purchases;
pub mod sales;

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::catalogue;

pub static ANALYTICS: Processor = Processor {
    name: "analytics",
    fold_version: 3,
    batch_policy: BatchPolicy::Linger,
    projections: &[&catalogue::PROJECTION, &purchases::PROJECTION, &sales::PROJECTION, &funnel::PROJECTION],
};
