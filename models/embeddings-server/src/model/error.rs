//! What can go wrong with a model.

use jangbogo_embedding::registry::ModelsError;

/// Why a model cannot be loaded or does not compute.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Its files.
    #[error(transparent)]
    Files(#[from] ModelsError),
    /// `config.json` describes no model of this kind.
    #[error("config.json cannot be understood")]
    Config(#[source] serde_json::Error),
    /// The network of `config.json` is of a kind that is not known here.
    #[error("config.json asks for {0}, which is not known here")]
    Unsupported(String),
    /// The network of `config.json` cannot be computed in 8-bit integers.
    #[error("config.json asks for what is not known here; choose --embedding-arithmetic f32")]
    Shape(#[from] jangbogo_bert_int8::ShapeError),
    /// The weights are not those of `config.json`.
    #[error("the file of weights does not fit config.json: {0}")]
    Tensor(String),
    /// A GPU was asked for.
    #[error(
        "no GPU can be used: a build with `--features cuda` on a machine with CUDA has one, and --embedding-arithmetic int8 \
         needs none"
    )]
    Gpu(#[source] candle_core::Error),
    /// The weights are of another model.
    #[error("its vectors have {found} components, expected {expected}")]
    Dimensions {
        /// The table's.
        expected: usize,
        /// The weights'.
        found: usize,
    },
    /// The tokenizer cannot be read, or refuses a text.
    #[error("the tokenizer refuses")]
    Tokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The weights are not those of `config.json`, or the computation fails.
    #[error("the computation fails")]
    Computation(#[from] candle_core::Error),
    /// It ended in a panic.
    #[error("the computation panicked")]
    Panic,
    /// The threads could not be started.
    #[error("the threads that compute cannot be started")]
    Threads(#[source] rayon::ThreadPoolBuildError),
}
