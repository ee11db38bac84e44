//! Projections of the processor `es-sync`: the documents of the search indexes.

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::{catalogue, conversation, vectors};

pub static ES_SYNC: Processor = Processor {
    name: "es-sync",
    fold_version: 3,
    batch_policy: BatchPolicy::Linger,
    projections: &[&catalogue::DOCUMENTS, &vectors::STORED, &conversation::MESSAGES],
};
