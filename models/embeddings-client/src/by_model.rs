//! Clients of several models of one server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jangbogo_embeddings_server::encoder::EncoderMetrics;
use jangbogo_platform::config::Connections;

use super::shared::SharedCache;
use super::{Embedder, EmbedderArgs, EmbedderError, EmbedderMetrics};

/// A client for each model that was asked for: while a shop goes from one model to another, generations of both are read.
/// Clones share them.
#[derive(Clone, Debug)]
pub struct Embedders(Arc<ByModel>);

#[derive(Debug)]
struct ByModel {
    args: EmbedderArgs,
    shared: Option<SharedCache>,
    metrics: EmbedderMetrics,
    encoder_metrics: EncoderMetrics,
    embedders: Mutex<BTreeMap<String, Embedder>>,
}

impl Embedders {
    /// Clients of the server that the settings name, which share vectors in Redis. Within a Tokio runtime.
    ///
    /// # Errors
    /// When an address or key cannot be used.
    pub fn new(
        args: &EmbedderArgs,
        redis: &Connections,
        metrics: EmbedderMetrics,
        encoder_metrics: EncoderMetrics,
    ) -> Result<Self, EmbedderError> {
        jangbogo_openai::Server::new(&args.url, args.remote.api_key.as_ref())?;
        let shared = Some(SharedCache::start(redis)?);
        let (args, embedders) = (args.clone(), Mutex::default());
        Ok(Self(Arc::new(ByModel { args, shared, metrics, encoder_metrics, embedders })))
    }

    /// The client of one model.
    ///
    /// # Errors
    /// When the server's address or key cannot be used.
    pub fn of(&self, model: &str) -> Result<Embedder, EmbedderError> {
        let ByModel { args, shared, metrics, encoder_metrics, embedders } = &*self.0;
        let mut embedders = embedders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedder) = embedders.get(model) {
            return Ok(embedder.clone());
        }
        let embedder = Embedder::sharing(args, model, shared.clone(), metrics.clone(), encoder_metrics.clone())?;
        embedders.insert(model.to_owned(), embedder.clone());
        Ok(embedder)
    }
}
