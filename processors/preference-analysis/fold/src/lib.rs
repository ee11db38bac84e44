//! Projections of the processor `preference-analysis`: the catalogue, conversations, members' preferences and acts.

use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_shared_projections::{catalogue, conversation, history, preferences};

pub static PREFERENCE_ANALYSIS: Processor = Processor {
    name: "preference-analysis",
    fold_version: 1,
    batch_policy: BatchPolicy::Immediate,
    projections: &[&catalogue::PROJECTION, &conversation::PROJECTION, &preferences::PROJECTION, &history::ACTS],
};
