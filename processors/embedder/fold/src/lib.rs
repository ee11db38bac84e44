//! What `embedder` folds: which texts of products were embedded.

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::vectors;

/// Products' vectors.
pub static EMBEDDER: Processor = Processor {
    name: "embedder",
    description: "which texts of products were embedded, by which models",
    fold_version: 2,
    batch_policy: BatchPolicy::Linger,
    projections: &[&vectors::EMBEDDED],
};
