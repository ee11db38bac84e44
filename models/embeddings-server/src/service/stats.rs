//! `GET /stats`: counts since the start.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::{ServedModel, Service};

#[derive(Serialize)]
struct Stats<'a> {
    uptime_seconds: u64,
    models: Vec<ModelStats<'a>>,
    /// Sums over all models.
    cache: Cache,
    texts: Texts,
}

#[derive(Serialize)]
struct ModelStats<'a> {
    model: &'a str,
    dimensions: usize,
    cached_texts: u64,
}

impl<'a> From<&'a ServedModel> for ModelStats<'a> {
    fn from(ServedModel { encoder, cache }: &'a ServedModel) -> Self {
        Self { model: encoder.model(), dimensions: encoder.dimensions(), cached_texts: cache.texts() }
    }
}

#[derive(Serialize)]
struct Cache {
    hits: u64,
    misses: u64,
    /// Share of cache hits; none before the first request.
    hit_rate: Option<f64>,
}

#[derive(Serialize)]
struct Texts {
    /// Texts computed by the model.
    embedded: u64,
    tokens: u64,
    /// Texts with more tokens than the model reads.
    truncated: u64,
    /// Texts rejected by a full queue.
    refused: u64,
    /// Texts skipped because their requests were cancelled.
    abandoned: u64,
    waiting: i64,
    batches: u64,
    /// Mean time to compute a batch; none before the first.
    batch_milliseconds: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for display")]
fn ratio(part: f64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part / whole as f64)
}

impl Service {
    pub(super) fn stats(&self) -> Response {
        let cached = |outcome: &str| self.metrics.embeddings_cache_total.with_label_values(&[outcome]).get();
        let (hits, misses) = (cached("hit"), cached("miss"));
        // All encoders share their metrics.
        let metrics = self.models[0].encoder.metrics();
        let batches = metrics.embedding_batch_seconds.get_sample_count();
        let seconds = metrics.embedding_batch_seconds.get_sample_sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for display")]
        let hit_rate = ratio(hits as f64, hits + misses);
        let stats = Stats {
            uptime_seconds: self.since.elapsed().as_secs(),
            models: self.models.iter().map(ModelStats::from).collect(),
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
