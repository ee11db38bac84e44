//! HTTP service of embeddings.
//!
//! | route | what |
//! |---|---|
//! | `POST /embed` | the vector of one text |
//! | `POST /batch-embed` | the vectors of 1 to [`MAX_INPUTS`] texts |
//! | `POST /similarity` | the cosine of two texts |
//! | `POST /v1/embeddings` | as `/batch-embed`, with OpenAI's API |
//! | `GET /stats` | counts since the start |
//!
//! [`check_text`](jangbogo_embedding::check_text) validates texts. Texts with more tokens than the model reads are
//! truncated, as in sentence-transformers, and the response reports it. `input_type` is the purpose of texts: `query`
//! (the default) or `passage`. `model` is a served model, by default the first; the response names it. Errors have
//! OpenAI's format.

mod failure;
mod input;
mod openai;
mod plain;
mod stats;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use clap::Args;
use futures::TryStreamExt as _;
use futures::stream::FuturesUnordered;
use jangbogo_embedding::Purpose;
use jangbogo_embedding::cache::{CacheOutcome, VectorCache};
use jangbogo_embedding::text::MAX_TEXT_BYTES;
use jangbogo_telemetry::SECONDS_BUCKETS;

use self::failure::Failure;
use crate::encoder::{Encoder, TextEmbedding};

/// Maximum texts in a request.
pub const MAX_INPUTS: usize = 100;
/// Maximum size of a body: a few of the longest texts, or the maximum number of texts of a page.
const MAX_BODY_BYTES: usize = 8 * MAX_TEXT_BYTES;

jangbogo_telemetry::metrics! {
    /// Metrics of the embedding service.
    pub struct ServiceMetrics {
        /// Requests, by status
        embeddings_requests_total: prometheus::IntCounterVec, labels ["status"];
        /// Duration of requests, in seconds
        embeddings_request_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
        /// Texts requested, by cache outcome: hit or miss
        embeddings_cache_total: prometheus::IntCounterVec, labels ["outcome"];
    }
}

/// Settings of the embedding service.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServiceArgs {
    /// Texts whose embeddings are kept in memory, about 2 kB each
    #[arg(id = "embeddings-cache", long, env = "EMBEDDINGS_CACHE", default_value_t = 20_000, value_name = "TEXTS")]
    pub cache: u64,
    /// Time limit of a request to the embedding service, in seconds
    #[arg(
        id = "embeddings-request-timeout",
        long,
        env = "EMBEDDINGS_REQUEST_TIMEOUT",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub request_timeout: u64,
}

/// A model and the cache of its vectors.
struct ServedModel {
    encoder: Encoder,
    cache: VectorCache<TextEmbedding>,
}

#[derive(Clone)]
struct Service {
    models: Arc<[ServedModel]>,
    metrics: ServiceMetrics,
    request_timeout: Duration,
    since: Instant,
}

/// The service's routes. Each model has a cache of its own; the first is the default of requests that name none.
pub fn router(models: Vec<Encoder>, args: ServiceArgs, metrics: ServiceMetrics) -> Router {
    let served = |encoder: Encoder| ServedModel { cache: VectorCache::new(encoder.model(), args.cache), encoder };
    let service = Service {
        models: models.into_iter().map(served).collect(),
        metrics,
        request_timeout: Duration::from_secs(args.request_timeout),
        since: Instant::now(),
    };
    Router::new()
        .route(
            "/embed",
            post(async |State(service): State<Service>, request| service.answer(request, plain::embed).await),
        )
        .route(
            "/batch-embed",
            post(async |State(service): State<Service>, request| service.answer(request, plain::embed_batch).await),
        )
        .route(
            "/similarity",
            post(async |State(service): State<Service>, request| service.answer(request, plain::compare).await),
        )
        .route(
            "/v1/embeddings",
            post(async |State(service): State<Service>, request| service.answer(request, openai::embeddings).await),
        )
        .route("/stats", get(async |State(service): State<Service>| service.stats()))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(service)
}

impl Service {
    /// Answers a request within the time limit, that of receiving it included, and counts it.
    async fn answer(
        self,
        request: Request,
        route: impl AsyncFnOnce(&Self, &[u8]) -> Result<Response, Failure>,
    ) -> Response {
        let timer = self.metrics.embeddings_request_seconds.start_timer();
        let answer = async { route(&self, &Bytes::from_request(request, &()).await?).await };
        let answer = tokio::time::timeout(self.request_timeout, answer).await;
        let response = answer.unwrap_or(Err(Failure::TooSlow)).unwrap_or_else(Failure::into_response);
        timer.observe_duration();
        self.metrics.embeddings_requests_total.with_label_values(&[response.status().as_str()]).inc();
        response
    }

    /// The model of a name; the first if there is no name or that of an OpenAI model, which OpenAI's clients default
    /// to.
    fn model(&self, name: Option<&str>) -> Result<&ServedModel, Failure> {
        let named = self.models.iter().find(|served| name == Some(served.encoder.model()));
        let first = || self.models.first().filter(|_| name.is_none_or(|name| name.starts_with("text-embedding")));
        named.or_else(first).ok_or_else(|| Failure::ModelNotFound {
            requested: name.unwrap_or_default().to_owned(),
            served: self.models.iter().map(|served| served.encoder.model().to_owned()).collect(),
        })
    }

    async fn embed(
        &self,
        model: &ServedModel,
        purpose: Purpose,
        texts: &[String],
    ) -> Result<Vec<TextEmbedding>, Failure> {
        let embed = async |(index, text): (usize, &String)| {
            let text = &*model.encoder.prompts().before(purpose, text);
            let vector = model.cache.get_or_embed(model.cache.key(text), model.encoder.embed(text)).await;
            let (embedding, outcome) = vector.map_err(Failure::Encoder)?;
            let outcome = match outcome {
                CacheOutcome::Hit => "hit",
                CacheOutcome::Miss => "miss",
            };
            self.metrics.embeddings_cache_total.with_label_values(&[outcome]).inc();
            Ok::<_, Failure>((index, embedding))
        };
        // Unordered, so that a rejected text fails the request at once.
        let embeddings: FuturesUnordered<_> = texts.iter().enumerate().map(embed).collect();
        let mut embeddings: Vec<_> = embeddings.try_collect().await?;
        embeddings.sort_unstable_by_key(|(index, _)| *index);
        Ok(embeddings.into_iter().map(|(_, embedding)| embedding).collect())
    }
}

#[cfg(test)]
mod tests;
