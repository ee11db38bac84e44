//! Embedding models: registry, model files, prompts, checks of texts, and the interface of a model in this process.

pub mod cache;
pub mod local;
pub mod registry;
pub mod text;

pub use local::{LoadLocalModel, LocalModel, LocalModelError};
pub use text::{InvalidText, MAX_TEXT_BYTES, Prompts, Purpose, check_text, text_hash};

/// Number of components of every vector of the pipeline.
pub const DIMENSIONS: usize = 384;
