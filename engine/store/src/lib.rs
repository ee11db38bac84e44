//! Generations, checkpoints and rows in Postgres, and the codec of published values.

mod advisory;
mod bulk;
mod checkpoint;
mod commit;
mod fail_point;
mod folded_offsets;
mod generation;
mod promotion;
pub mod published;
pub mod refusal;
mod rows;
mod statements;
pub mod view;

pub use advisory::try_advisory_lock;
pub use bulk::{finish_bulk, finish_table, is_bulk_intact};
pub use checkpoint::{Checkpoint, acquire, positions, watermark};
pub use commit::{Batch, Committed, DeadLetter, Progress, commit};
pub use folded_offsets::FoldedOffsets;
pub use generation::{
    BulkPlan, Generation, GenerationError, Live, State, Stored, create_in_bulk, drop_generation, fold_config,
    generations, live, live_embedding_models, open_live, set_state,
};
pub use promotion::{Promotion, PromotionError, behind, search_backlog, thaw};
pub use rows::Rows;
pub use statements::{Statements, create_table};
