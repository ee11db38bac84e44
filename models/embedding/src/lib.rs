//! Embedding models: which there are, where their files lie, and how texts are prepared for them.

pub mod cache;
pub mod registry;
pub mod text;

pub use text::{InvalidText, MAX_TEXT_BYTES, Prompts, Purpose, check_text, text_hash};

/// How many components every vector of the pipeline has.
pub const DIMENSIONS: usize = 384;
