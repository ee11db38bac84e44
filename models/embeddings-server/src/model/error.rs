//! Errors of models.

use jangbogo_embedding::registry::ModelsError;

/// A model cannot be loaded, or does not compute.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file is missing or invalid.
    #[error(transparent)]
    Files(#[from] ModelsError),
    /// `config.json` has another format.
    #[error("config.json is invalid")]
    Config(#[source] serde_json::Error),
    /// The network of `config.json` is not supported.
    #[error("config.json asks for {0}, which is not supported")]
    Unsupported(String),
    /// The network of `config.json` is not supported in 8-bit integers.
    #[error("config.json asks for an unsupported shape; choose --embedding-arithmetic f32")]
    Shape(#[from] jangbogo_bert_int8::ShapeError),
    /// The weights do not match `config.json`.
    #[error("the weights do not match config.json: {0}")]
    Tensor(String),
    /// There is no usable GPU.
    #[error(
        "no GPU can be used: it needs a build with `--features cuda` on a machine with CUDA; \
         --embedding-arithmetic int8 needs none"
    )]
    Gpu(#[source] candle_core::Error),
    /// The vectors have another number of components.
    #[error("its vectors have {found} components, expected {expected}")]
    Dimensions { expected: usize, found: usize },
    /// The tokenizer is invalid, or fails on a text.
    #[error("the tokenizer failed")]
    Tokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The weights do not match `config.json`, or the computation failed.
    #[error("the computation failed")]
    Computation(#[from] candle_core::Error),
    #[error("the computation panicked")]
    Panic,
    /// Threads cannot be started.
    #[error("cannot start the threads of the embedding model")]
    Threads(#[source] rayon::ThreadPoolBuildError),
}
