//! What `assistant` folds: conversations.

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::conversation;

/// Conversations, as they are answered and shown.
pub static ASSISTANT: Processor = Processor {
    name: "assistant",
    description: "conversations: what was said, understood, recommended and answered",
    fold_version: 1,
    batch_policy: BatchPolicy::Immediate,
    projections: &[&conversation::PROJECTION],
};
