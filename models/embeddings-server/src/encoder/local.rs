//! The encoder as a client's local model, and the settings of a client that falls back to it.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use futures::future::BoxFuture;
use jangbogo_embedding::{LoadLocalModel, LocalModel, LocalModelError, Prompts};

use super::{Encoder, EncoderArgs, EncoderMetrics};

impl LocalModel for Encoder {
    fn name(&self) -> &str {
        self.model()
    }

    fn prompts(&self) -> Prompts {
        self.prompts()
    }

    fn embed<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Arc<[f32]>, LocalModelError>> {
        Box::pin(async move {
            let embedded = self.embed(text).await;
            embedded.map(|embedding| embedding.vector).map_err(|error| Arc::new(error) as LocalModelError)
        })
    }
}

/// The settings of a client of the embedding service that can compute vectors itself.
#[derive(Args, Clone, Debug)]
pub struct FallbackArgs {
    /// Source of embeddings while the server gives none
    #[arg(
        id = "embeddings-fallback",
        long,
        env = "EMBEDDINGS_FALLBACK",
        value_enum,
        default_value_t,
        value_name = "FALLBACK"
    )]
    pub fallback: Fallback,
    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// Source of vectors while the server gives none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fallback {
    /// No fallback
    None,
    /// The same model, loaded into this process while the server is unavailable; its files must be installed
    #[default]
    InProcess,
}

impl FallbackArgs {
    /// Loads the fallback's models; none if the settings ask for no fallback.
    #[must_use]
    pub fn loader(&self, metrics: EncoderMetrics) -> Option<LoadLocalModel> {
        if self.fallback == Fallback::None {
            return None;
        }
        let args = self.encoder.clone();
        Some(Arc::new(move |model| {
            let (args, model, metrics) = (args.clone(), model.to_owned(), metrics.clone());
            Box::pin(async move {
                match Encoder::load(&args, &model, metrics).await {
                    Ok(encoder) => Ok(Arc::new(encoder) as Arc<dyn LocalModel>),
                    Err(error) => Err(Arc::new(error) as LocalModelError),
                }
            })
        }))
    }
}
