//! Errors of imports.

use jangbogo_embedding::registry::ModelsError;
use jangbogo_openai::SetupError;

use crate::model::ModelError;

/// A model is not imported. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The source is neither a folder nor a repository.
    #[error("{0} is neither a folder nor a repository of a hub, named owner/name or owner/name@revision")]
    Source(String),
    /// The source lacks a file.
    #[error("{origin} has no {file}; {advice}")]
    MissingFile { origin: String, file: String, advice: &'static str },
    /// A file describes an unsupported model.
    #[error("{file} {why}; {advice}")]
    Unsupported { file: String, why: String, advice: &'static str },
    /// A file is not JSON, or has another format.
    #[error("{file} is invalid JSON: check that it is complete")]
    Json { file: String, source: serde_json::Error },
    /// The model cannot be loaded, or does not compute.
    #[error(
        "the model of {origin} cannot be used; choose another that is BERT with {} dimensions",
        jangbogo_embedding::DIMENSIONS
    )]
    Model { origin: String, source: ModelError },
    /// The trial gave an invalid vector.
    #[error(
        "the model of {origin} gives a vector of length {length}, not 1: its weights are damaged, or of another model"
    )]
    Vector { origin: String, length: f64 },
    /// The name is invalid.
    #[error(
        "invalid name {0}; choose a --name of at most 100 letters, digits, hyphens, underscores and full stops, which \
         begins with a letter or digit"
    )]
    Name(String),
    /// Another model has the name. Events record it, and vectors of two models must never be compared.
    #[error("{0} is the name of another model, with other files or prompts; choose another --name")]
    Taken(String),
    /// The hub's address is invalid.
    #[error("the hub's address is invalid: check HF_ENDPOINT")]
    Hub(#[from] SetupError),
    /// The hub cannot be reached.
    #[error("{url} cannot be downloaded")]
    Unreachable { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// The hub refused a request.
    #[error("the hub answered {url} with status {status}: {advice}")]
    Status { url: String, status: u16, advice: &'static str },
    /// The directory of models cannot be used.
    #[error(transparent)]
    Files(#[from] ModelsError),
}
