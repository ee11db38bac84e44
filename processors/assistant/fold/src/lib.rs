//! Projections of the processor `assistant`: conversations.

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::conversation;

pub static ASSISTANT: Processor = Processor {
    name: "assistant",
    fold_version: 1,
    batch_policy: BatchPolicy::Immediate,
    projections: &[&conversation::PROJECTION],
};
