//! Clients of several models of one server.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jangbogo_embedding::LoadLocalModel;
use jangbogo_embedding::registry::ModelsArgs;
use jangbogo_platform::config::Connections;

use super::shared::SharedCache;
use super::{Embedder, EmbedderArgs, EmbedderError, EmbedderMetrics};

/// One client per model, made on first use: while models are being changed, generations of both are read. Clones share
/// the clients.
#[derive(Clone)]
pub struct EmbedderPool(Arc<Inner>);

struct Inner {
    args: EmbedderArgs,
    models: ModelsArgs,
    shared: SharedCache,
    metrics: EmbedderMetrics,
    fallback: Option<LoadLocalModel>,
    embedders: Mutex<BTreeMap<String, Embedder>>,
}

impl EmbedderPool {
    /// Clients of the server that the settings name, which share vectors in Redis. `fallback` loads the same models
    /// into this process while the server is unavailable. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When an address or key is invalid.
    pub fn new(
        args: &EmbedderArgs,
        models: &ModelsArgs,
        redis: &Connections,
        metrics: EmbedderMetrics,
        fallback: Option<LoadLocalModel>,
    ) -> Result<Self, EmbedderError> {
        jangbogo_openai::Server::new(&args.url, args.remote.api_key.as_ref())?;
        let shared = SharedCache::start(redis)?;
        let (args, models, embedders) = (args.clone(), models.clone(), Mutex::default());
        Ok(Self(Arc::new(Inner { args, models, shared, metrics, fallback, embedders })))
    }

    /// The client of one model.
    ///
    /// # Errors
    /// When the server's address or key is invalid.
    pub fn for_model(&self, model: &str) -> Result<Embedder, EmbedderError> {
        let Inner { args, models, shared, metrics, fallback, embedders } = &*self.0;
        let mut embedders = embedders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedder) = embedders.get(model) {
            return Ok(embedder.clone());
        }
        let shared = Some(shared.clone());
        let embedder = Embedder::with_shared(args, models, model, shared, metrics.clone(), fallback.clone())?;
        embedders.insert(model.to_owned(), embedder.clone());
        Ok(embedder)
    }
}

impl fmt::Debug for EmbedderPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbedderPool").field("url", &self.0.args.url).finish_non_exhaustive()
    }
}
