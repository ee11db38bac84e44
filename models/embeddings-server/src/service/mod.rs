//! The embedding service.
//!
//! | route | what |
//! |---|---|
//! | `POST /embed` | the vector of one text |
//! | `POST /batch-embed` | the vectors of 1 to [`MAX_INPUTS`] texts |
//! | `POST /similarity` | the cosine of two texts |
//! | `POST /v1/embeddings` | the same as `/batch-embed`, as OpenAI's clients call it |
//! | `GET /stats` | what it has done so far |
//!
//! Texts are taken as [`check_text`](jangbogo_embedding::check_text) takes them. One that is longer than the model reads is cut off, as
//! its makers' own library does, and the answer says so. `input_type` says what texts are embedded for: `query`, which they
//! are if nothing is said, or `passage`. `model` is a model that is served here, the first of them if nothing is said; the
//! answer names the one that was used. Every error of ours has OpenAI's shape.

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

/// The most texts in a request.
pub const MAX_INPUTS: usize = 100;
/// The longest body: a few of the longest texts, or a page in each of as many as may be.
const MAX_BODY_BYTES: usize = 8 * MAX_TEXT_BYTES;

jangbogo_telemetry::metrics! {
    /// What the service counts.
    pub struct ServiceMetrics {
        /// Requests for embeddings, by status
        embeddings_requests_total: prometheus::IntCounterVec, labels ["status"];
        /// Time to answer a request for embeddings, in seconds
        embeddings_request_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
        /// Texts that were asked for, by whether a cache had their vectors: hit or miss
        embeddings_cache_total: prometheus::IntCounterVec, labels ["outcome"];
    }
}

/// The settings of the service.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServiceArgs {
    /// Texts whose embeddings are kept in memory, about 2 kB each
    #[arg(id = "embeddings-cache", long, env = "EMBEDDINGS_CACHE", default_value_t = 20_000, value_name = "TEXTS")]
    pub cache: u64,
    /// Seconds that a request for embeddings may take
    #[arg(
        id = "embeddings-request-timeout",
        long,
        env = "EMBEDDINGS_REQUEST_TIMEOUT",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub request_timeout: u64,
}

/// A model that is served, and the vectors that it gave.
struct Served {
    encoder: Encoder,
    cache: VectorCache<TextEmbedding>,
}

#[derive(Clone)]
struct Service {
    models: Arc<[Served]>,
    metrics: ServiceMetrics,
    request_timeout: Duration,
    since: Instant,
}

/// The service's routes, to be merged into a process's router. Each model has a cache of its own; the first is the one that
/// requests get which name none.
pub fn router(models: Vec<Encoder>, args: ServiceArgs, metrics: ServiceMetrics) -> Router {
    let served = |encoder: Encoder| Served { cache: VectorCache::new(encoder.model(), args.cache), encoder };
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
    /// Has a request answered in time, that for receiving it included, and counts it.
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

    /// The model of this name; the first if none is named, or one that is OpenAI's: its clients have such a name built in.
    fn model(&self, name: Option<&str>) -> Result<&Served, Failure> {
        let named = self.models.iter().find(|served| name == Some(served.encoder.model()));
        let first = || self.models.first().filter(|_| name.is_none_or(|name| name.starts_with("text-embedding")));
        named.or_else(first).ok_or_else(|| Failure::ModelNotFound {
            asked: name.unwrap_or_default().to_owned(),
            served: self.models.iter().map(|served| served.encoder.model().to_owned()).collect(),
        })
    }

    async fn embed(&self, model: &Served, purpose: Purpose, texts: &[String]) -> Result<Vec<TextEmbedding>, Failure> {
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
        // In any order, so that one that fails at once is not waited with until those before it are there.
        let embeddings: FuturesUnordered<_> = texts.iter().enumerate().map(embed).collect();
        let mut embeddings: Vec<_> = embeddings.try_collect().await?;
        embeddings.sort_unstable_by_key(|(index, _)| *index);
        Ok(embeddings.into_iter().map(|(_, embedding)| embedding).collect())
    }
}

#[cfg(test)]
mod tests;
