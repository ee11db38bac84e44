//! The interface of a model that is computed in this process, for clients that must not link the inference.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::text::Prompts;

/// Failure to load a local model, or to compute a vector. Several callers may have to report one failure.
pub type LocalModelError = Arc<dyn Error + Send + Sync>;

/// An embedding model in this process.
pub trait LocalModel: fmt::Debug + Send + Sync {
    /// The model's id, as events record it.
    fn name(&self) -> &str;

    /// The prompts that a caller puts before texts.
    fn prompts(&self) -> Prompts;

    /// The vector of length 1 of a text as it stands. Dropping the future cancels the request.
    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Arc<[f32]>, LocalModelError>>;
}

/// Loads the model of a name into this process.
pub type LoadLocalModel =
    Arc<dyn Fn(&str) -> BoxFuture<'static, Result<Arc<dyn LocalModel>, LocalModelError>> + Send + Sync>;
