//! The embedding model: where its files come from, how a user adds one, the model itself, the thread that computes it, the HTTP service
//! around it, and the client that others ask.
//!
//! Vectors of two models are never compared; a vector always goes with the name of its model.

pub mod adding;
mod cache;
pub mod client;
pub mod encoder;
pub mod model;
pub mod models;
pub mod service;
#[cfg(test)]
mod testing;
mod text;

pub use text::{InvalidText, MAX_TEXT_BYTES, Prompts, Purpose, check_text, text_hash};

/// How many components every vector of the pipeline has.
pub const DIMENSIONS: usize = 384;
