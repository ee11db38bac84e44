//! Projections of the processor `embedder`: the texts of products that were embedded, by model.

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::vectors;

pub static EMBEDDER: Processor = Processor {
    name: "embedder",
    fold_version: 2,
    batch_policy: BatchPolicy::Linger,
    projections: &[&vectors::EMBEDDED],
};
