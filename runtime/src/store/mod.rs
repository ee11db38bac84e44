//! Rows, checkpoints and generations in Postgres.

mod checkpoint;
mod commit;
mod generation;
mod statements;

pub use checkpoint::{Checkpoint, Partition, acquire, watermark};
pub use commit::{Batch, Committed, DeadLetter, Progress, commit};
pub use generation::{Generation, GenerationError, Live, live, open_live};
pub use statements::{Statements, bind_table, create_table};
