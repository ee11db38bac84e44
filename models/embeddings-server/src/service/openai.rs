//! `POST /v1/embeddings`, OpenAI's API.
//!
//! - `input`: a text or 1 to [`MAX_INPUTS`](super::MAX_INPUTS) of them.
//! - `encoding_format`: `float`, or `base64` of little-endian 32-bit floats.
//! - `dimensions`: absent, or the number of the model's dimensions.
//! - `user` and unknown fields are ignored.
//!
//! The header `truncated-texts` is the number of texts that were truncated.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jangbogo_embedding::Purpose;
use serde::{Deserialize, Serialize};

use super::Service;
use super::failure::{BadRequest, Failure};
use super::input::{self, Texts};

const TRUNCATED_TEXTS: HeaderName = HeaderName::from_static("truncated-texts");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    #[default]
    Float,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

#[derive(Deserialize)]
struct Request {
    input: Texts,
    model: Option<String>,
    input_type: Option<Purpose>,
    encoding_format: Option<EncodingFormat>,
    dimensions: Option<usize>,
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

pub(super) async fn embeddings(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let request: Request = input::read(body)?;
    let model = service.model(request.model.as_deref())?;
    let dimensions = model.encoder.dimensions();
    if let Some(requested) = request.dimensions.filter(|requested| *requested != dimensions) {
        let name = model.encoder.model();
        let message = format!("dimensions is {requested}: vectors of {name} have {dimensions} components");
        return Err(BadRequest::in_field("dimensions", message).into());
    }
    let texts = request.input.checked("input")?;
    let embeddings = service.embed(model, request.input_type.unwrap_or_default(), &texts).await?;
    let tokens = embeddings.iter().map(|text| text.tokens).sum();
    let truncated = embeddings.iter().filter(|text| text.truncated).count();
    let format = request.encoding_format.unwrap_or_default();
    let data = embeddings.iter().enumerate().map(|(index, text)| Datum {
        object: "embedding",
        index,
        embedding: encoded(&text.vector, format),
    });
    let mut response = Json(Embeddings {
        object: "list",
        data: data.collect(),
        model: model.encoder.model(),
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    })
    .into_response();
    response.headers_mut().insert(TRUNCATED_TEXTS, HeaderValue::from(truncated));
    Ok(response)
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
