//! Vectors of texts that this process has seen.

use std::sync::Arc;

use moka::future::Cache;

use crate::text::{TextKey, text_key};

/// What the cache had to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It had the vector, or somebody was having it computed.
    Hit,
    /// It was computed for this request.
    Miss,
}

/// Vectors of one model by the SHA-256 of model and text: a text's vector never changes, so none expires. Failures are
/// not kept. `V` is a vector and what else is known of it.
#[derive(Clone, Debug)]
pub struct VectorCache<V: Clone + Send + Sync + 'static> {
    model: Arc<str>,
    vectors: Cache<TextKey, V>,
}

impl<V: Clone + Send + Sync + 'static> VectorCache<V> {
    /// A cache for so many texts, of which each takes about 2 kB.
    pub fn new(model: &str, texts: u64) -> Self {
        Self { model: model.into(), vectors: Cache::new(texts) }
    }

    /// About how many texts it has the vectors of.
    pub fn texts(&self) -> u64 {
        self.vectors.entry_count()
    }

    /// The key of a text.
    pub fn key(&self, text: &str) -> TextKey {
        text_key(&self.model, text)
    }

    /// The vector of a text by its key; `embed` has it computed when it is not there. Requests for one text at one time
    /// have it computed once.
    pub async fn get_or_embed<E: Clone + Send + Sync + 'static>(
        &self,
        key: TextKey,
        embed: impl Future<Output = Result<V, E>>,
    ) -> Result<(V, CacheOutcome), E> {
        let entry = self.vectors.entry(key).or_try_insert_with(Box::pin(embed)).await;
        let entry = entry.map_err(Arc::unwrap_or_clone)?;
        let outcome = if entry.is_fresh() { CacheOutcome::Miss } else { CacheOutcome::Hit };
        Ok((entry.into_value(), outcome))
    }
}
