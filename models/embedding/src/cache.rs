//! In-memory cache of vectors (L1).

use std::sync::Arc;

use moka::future::Cache;

use crate::text::{TextKey, text_key};

/// Origin of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Cached, or computed by a concurrent request for the same text.
    Hit,
    /// Computed for this request.
    Miss,
}

/// Vectors of one model by the SHA-256 of model and text. None expires, for a text's vector never changes. Failures are
/// not cached. `V` is a vector and its metadata.
#[derive(Clone, Debug)]
pub struct VectorCache<V: Clone + Send + Sync + 'static> {
    model: Arc<str>,
    vectors: Cache<TextKey, V>,
}

impl<V: Clone + Send + Sync + 'static> VectorCache<V> {
    /// A cache for up to `texts` texts, about 2 kB each.
    #[must_use]
    pub fn new(model: &str, texts: u64) -> Self {
        Self { model: model.into(), vectors: Cache::new(texts) }
    }

    /// Approximate number of texts cached.
    #[must_use]
    pub fn texts(&self) -> u64 {
        self.vectors.entry_count()
    }

    #[must_use]
    pub fn key(&self, text: &str) -> TextKey {
        text_key(&self.model, text)
    }

    /// The vector of a key; on a miss `embed` computes it, once for concurrent requests (single-flight).
    ///
    /// # Errors
    /// When `embed` fails. Failures are not cached.
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
