//! `GET /stats`: what the service has done since it began.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::{Served, Service};

#[derive(Serialize)]
struct Stats<'a> {
    uptime_seconds: u64,
    models: Vec<ServedModel<'a>>,
    /// Of all models, since they began.
    cache: Cache,
    texts: Texts,
}

#[derive(Serialize)]
struct ServedModel<'a> {
    model: &'a str,
    dimensions: usize,
    cached_texts: u64,
}

impl<'a> From<&'a Served> for ServedModel<'a> {
    fn from(Served { encoder, cache }: &'a Served) -> Self {
        Self { model: encoder.model(), dimensions: encoder.dimensions(), cached_texts: cache.texts() }
    }
}

#[derive(Serialize)]
struct Cache {
    hits: u64,
    misses: u64,
    /// Of all texts that were asked for; none while none was.
    hit_rate: Option<f64>,
}

#[derive(Serialize)]
struct Texts {
    /// By the model, and not by the cache.
    embedded: u64,
    tokens: u64,
    /// Longer than the model reads.
    truncated: u64,
    /// Because too many were waiting.
    refused: u64,
    /// Because nobody waited for them any more.
    abandoned: u64,
    waiting: i64,
    batches: u64,
    /// The mean time to compute a batch; none while none was.
    batch_milliseconds: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people to look at")]
fn ratio(part: f64, of: u64) -> Option<f64> {
    (of > 0).then(|| part / of as f64)
}

impl Service {
    pub(super) fn stats(&self) -> Response {
        let cached = |outcome: &str| self.metrics.embeddings_cache_total.with_label_values(&[outcome]).get();
        let (hits, misses) = (cached("hit"), cached("miss"));
        // All count together.
        let metrics = self.models[0].encoder.metrics();
        let batches = metrics.embedding_batch_seconds.get_sample_count();
        let seconds = metrics.embedding_batch_seconds.get_sample_sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to look at")]
        let hit_rate = ratio(hits as f64, hits + misses);
        let stats = Stats {
            uptime_seconds: self.since.elapsed().as_secs(),
            models: self.models.iter().map(ServedModel::from).collect(),
            cache: Cache { hits, misses, hit_rate },
            texts: Texts {
                embedded: metrics.embedding_texts_total.get(),
                tokens: metrics.embedding_tokens_total.get(),
                truncated: metrics.embedding_truncated_texts_total.get(),
                refused: metrics.embedding_refused_texts_total.get(),
                abandoned: metrics.embedding_abandoned_texts_total.get(),
                waiting: metrics.embedding_queue_texts.get(),
                batches,
                batch_milliseconds: ratio(seconds * 1000.0, batches),
            },
        };
        Json(stats).into_response()
    }
}
