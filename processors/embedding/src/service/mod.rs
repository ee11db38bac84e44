//! `POST /v1/embeddings`, as OpenAI's clients call it.
//!
//! - `input`: a text or 1 to [`MAX_INPUTS`] of them, each as [`check_text`](crate::check_text) takes it.
//! - `model`: absent, the name of the model served here, or one that begins with `text-embedding`: clients have such a
//!   name of OpenAI's built in. The answer names the model that was used. Any other is 404, `model_not_found`.
//! - `encoding_format`: `float`, or `base64` of little-endian 32-bit floats.
//! - `dimensions`: absent, or as many as the model's vectors have.
//! - `user` and whatever else is there is ignored.
//!
//! A text that is longer than the model reads is cut off, as its makers' own library does; the header
//! `truncated-texts` says how many were. Every error of ours has OpenAI's shape.

mod failure;
mod input;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use futures::future::try_join_all;
use runtime::telemetry::SECONDS_BUCKETS;
use serde::Serialize;

use self::failure::Failure;
use self::input::{EmbeddingsRequest, EncodingFormat};
use crate::cache::VectorCache;
use crate::encoder::{Encoder, TextEmbedding};
use crate::text::MAX_TEXT_BYTES;

/// The most texts in a request.
pub const MAX_INPUTS: usize = 100;
/// The longest body: a few of the longest texts, or a page in each of as many as may be.
const MAX_BODY_BYTES: usize = 8 * MAX_TEXT_BYTES;
const TRUNCATED_TEXTS: HeaderName = HeaderName::from_static("truncated-texts");

runtime::metrics! {
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

#[derive(Clone)]
struct Service {
    encoder: Encoder,
    cache: VectorCache,
    metrics: ServiceMetrics,
    request_timeout: Duration,
}

/// `POST /v1/embeddings` and nothing else, to be merged into a process's router.
pub fn router(encoder: Encoder, args: ServiceArgs, metrics: ServiceMetrics) -> Router {
    let cache = VectorCache::new(encoder.model(), args.cache);
    let request_timeout = Duration::from_secs(args.request_timeout);
    Router::new()
        .route("/v1/embeddings", post(embeddings))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Service { encoder, cache, metrics, request_timeout })
}

async fn embeddings(State(service): State<Service>, body: Result<Bytes, BytesRejection>) -> Response {
    let timer = service.metrics.embeddings_request_seconds.start_timer();
    let answer = tokio::time::timeout(service.request_timeout, service.answer(body)).await;
    let response = answer.unwrap_or(Err(Failure::TooSlow)).unwrap_or_else(Failure::into_response);
    timer.observe_duration();
    service.metrics.embeddings_requests_total.with_label_values(&[response.status().as_str()]).inc();
    response
}

impl Service {
    async fn answer(&self, body: Result<Bytes, BytesRejection>) -> Result<Response, Failure> {
        let request = EmbeddingsRequest::read(&body?, self.encoder.model(), self.encoder.dimensions())?;
        let texts = try_join_all(request.texts.iter().map(|text| self.embed(text))).await?;
        let tokens = texts.iter().map(|text| text.tokens).sum();
        let truncated = texts.iter().filter(|text| text.truncated).count();
        let data = texts.iter().enumerate().map(|(index, text)| Datum {
            object: "embedding",
            index,
            embedding: encoded(&text.vector, request.encoding_format),
        });
        let mut response = Json(Embeddings {
            object: "list",
            data: data.collect(),
            model: self.encoder.model(),
            usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        })
        .into_response();
        response.headers_mut().insert(TRUNCATED_TEXTS, HeaderValue::from(truncated));
        Ok(response)
    }

    async fn embed(&self, text: &str) -> Result<TextEmbedding, Failure> {
        let embed = self.encoder.embed(text);
        let (embedding, outcome) = self.cache.get_or_embed(text, embed).await.map_err(Failure::Encoder)?;
        self.metrics.embeddings_cache_total.with_label_values(&[outcome.choose("hit", "miss")]).inc();
        Ok(embedding)
    }
}

#[derive(Serialize)]
struct Embeddings<'a> {
    object: &'static str,
    data: Vec<Datum<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Datum<'a> {
    object: &'static str,
    index: usize,
    embedding: Encoded<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Encoded<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

fn encoded(vector: &[f32], format: EncodingFormat) -> Encoded<'_> {
    match format {
        EncodingFormat::Float => Encoded::Float(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
            Encoded::Base64(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests;
