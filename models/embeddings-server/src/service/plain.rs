//! `POST /embed`, `/batch-embed` and `/similarity`.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use jangbogo_embedding::Purpose;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::input::{self, Texts};
use super::{ServedModel, Service};
use crate::encoder::TextEmbedding;

#[derive(Deserialize)]
struct EmbedRequest {
    text: String,
    model: Option<String>,
    input_type: Option<Purpose>,
}

#[derive(Deserialize)]
struct BatchRequest {
    texts: Texts,
    model: Option<String>,
    input_type: Option<Purpose>,
}

#[derive(Deserialize)]
struct SimilarityRequest {
    text1: String,
    text2: String,
    model: Option<String>,
    input_type: Option<Purpose>,
}

/// A vector of a text.
#[derive(Serialize)]
struct EmbeddedText<'a> {
    embedding: &'a [f32],
    /// Number of tokens read.
    tokens: usize,
    /// True if the text had more tokens than the model reads.
    truncated: bool,
}

impl<'a> From<&'a TextEmbedding> for EmbeddedText<'a> {
    fn from(text: &'a TextEmbedding) -> Self {
        Self { embedding: &text.vector, tokens: text.tokens, truncated: text.truncated }
    }
}

#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    embedding: EmbeddedText<'a>,
    model: &'a str,
    dimensions: usize,
}

#[derive(Serialize)]
struct Batch<'a> {
    embeddings: Vec<EmbeddedText<'a>>,
    model: &'a str,
    dimensions: usize,
}

#[derive(Serialize)]
struct Comparison<'a> {
    /// Cosine of the two vectors.
    similarity: f32,
    truncated: bool,
    model: &'a str,
}

fn name_and_dimensions(ServedModel { encoder, .. }: &ServedModel) -> (&str, usize) {
    (encoder.model(), encoder.dimensions())
}

pub(super) async fn embed(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let request: EmbedRequest = input::read(body)?;
    let served = service.model(request.model.as_deref())?;
    let texts = [input::checked("text", request.text)?];
    let embeddings = service.embed(served, request.input_type.unwrap_or_default(), &texts).await?;
    let (model, dimensions) = name_and_dimensions(served);
    Ok(Json(One { embedding: (&embeddings[0]).into(), model, dimensions }).into_response())
}

pub(super) async fn embed_batch(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let request: BatchRequest = input::read(body)?;
    let served = service.model(request.model.as_deref())?;
    let texts = request.texts.checked("texts")?;
    let embeddings = service.embed(served, request.input_type.unwrap_or_default(), &texts).await?;
    let (model, dimensions) = name_and_dimensions(served);
    Ok(Json(Batch { embeddings: embeddings.iter().map(EmbeddedText::from).collect(), model, dimensions })
        .into_response())
}

pub(super) async fn compare(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let request: SimilarityRequest = input::read(body)?;
    let served = service.model(request.model.as_deref())?;
    let texts = [input::checked("text1", request.text1)?, input::checked("text2", request.text2)?];
    let embeddings = service.embed(served, request.input_type.unwrap_or_default(), &texts).await?;
    // Both have the length 1, but rounding may leave a product beyond 1.
    let products = embeddings[0].vector.iter().zip(&*embeddings[1].vector).map(|(one, other)| one * other);
    let similarity = products.sum::<f32>().clamp(-1.0, 1.0);
    let truncated = embeddings.iter().any(|text| text.truncated);
    Ok(Json(Comparison { similarity, truncated, model: served.encoder.model() }).into_response())
}
