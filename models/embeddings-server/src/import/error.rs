//! Why a model is not added.

use jangbogo_embedding::registry::ModelsError;
use jangbogo_openai::SetupError;

use crate::model::ModelError;

/// Why a model is not added. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It is not said where the model is.
    #[error("{0} is neither a folder nor a repository of a hub, which is called owner/name or owner/name@revision")]
    Source(String),
    /// The source lacks a file.
    #[error("{origin} has no {file}; {advice}")]
    Lacks {
        /// The source.
        origin: String,
        /// The file.
        file: String,
        /// What to do.
        advice: &'static str,
    },
    /// A file describes a model that is not computed here.
    #[error("{file} {why}; {advice}")]
    Refused {
        /// The file.
        file: String,
        /// What of it cannot be.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// A file is not as the makers of its format have it.
    #[error("{file} cannot be understood: is it whole?")]
    Json {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The model cannot be loaded, or does not compute.
    #[error(
        "the model of {origin} cannot be used here; choose another that is BERT with {} dimensions",
        jangbogo_embedding::DIMENSIONS
    )]
    Model {
        /// The source.
        origin: String,
        /// Why not.
        source: ModelError,
    },
    /// What it computes is no vector.
    #[error(
        "the model of {origin} gives a text a vector of length {length}: its weights are damaged, or not of such a model"
    )]
    Vector {
        /// The source.
        origin: String,
        /// The length, which should be 1.
        length: f64,
    },
    /// The name cannot be one.
    #[error(
        "no model can be called {0}; choose a --name of at most 100 letters, digits, hyphens, underscores and full stops, which begins with a letter or digit"
    )]
    Name(String),
    /// Events record the name, and vectors of two models must never be compared.
    #[error("{0} is another model already, of other files or prompts; choose another --name")]
    Taken(String),
    /// The hub cannot be asked.
    #[error("the hub cannot be asked; HF_ENDPOINT says where it is")]
    Hub(#[from] SetupError),
    /// The hub does not answer.
    #[error("{url} cannot be fetched")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub does not give a file.
    #[error("the hub answers {status} to {url}: {advice}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP's status.
        status: u16,
        /// What to do.
        advice: &'static str,
    },
    /// The directory of models.
    #[error(transparent)]
    Files(#[from] ModelsError),
}
