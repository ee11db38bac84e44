//! Rows, checkpoints and generations in Postgres.

mod bulk;
mod checkpoint;
mod commit;
mod generation;
mod promotion;
mod statements;

pub use bulk::{finish_bulk, finish_table, is_bulk_intact};
pub use checkpoint::{Checkpoint, Partition, acquire, positions, watermark};
pub use commit::{Batch, Committed, DeadLetter, Progress, commit};
pub use generation::{
    BulkPlan, Generation, GenerationError, Live, Offsets, State, Stored, create_in_bulk, drop_generation, generations,
    live, live_embedding_models, open_live, set_state,
};
pub use promotion::{Promotion, PromotionError, behind, search_backlog, thaw};
pub use statements::{Statements, create_table};
