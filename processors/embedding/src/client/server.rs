//! An OpenAI-compatible server of embeddings.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::DIMENSIONS;
use crate::encoder::TextEmbedding;

/// A vector takes some 2 kB in base64 and 9 kB in digits; the rest is none.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const MAX_MESSAGE_CHARACTERS: usize = 300;
/// How far from 1 the length of a vector may be without being made 1.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// A secret that shows nowhere.
#[derive(Clone)]
pub struct ApiKey(HeaderValue);

impl FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let header = HeaderValue::from_str(&format!("Bearer {key}"));
        let mut header = header.map_err(|_| "a key is made of printable ASCII characters")?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

/// The address of a server cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the URL of the embeddings server {0}")]
pub struct ServerUrlError(String);

/// What a server did instead of answering with a vector.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It cannot be reached, or breaks off.
    #[error("the embeddings server does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It refuses.
    #[error("the embeddings server answers {status}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its words, or the beginning of them.
        message: String,
    },
    /// It answers with something else.
    #[error("the answer of the embeddings server {0}")]
    Answer(String),
}

/// A server, one of its models, and the connections to it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    client: Client,
    endpoint: Url,
    model: Arc<str>,
}

#[derive(Serialize)]
struct Request<'a> {
    input: &'a str,
    model: &'a str,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Datum {
    embedding: Components,
}

/// Not every server knows `encoding_format`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Components {
    Base64(String),
    Float(Vec<f32>),
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: usize,
}

impl Server {
    /// The server whose base URL this is (`…/v1`).
    pub(super) fn new(base: &str, model: &str, key: Option<&ApiKey>) -> Result<Self, ServerUrlError> {
        let refused = |why: &str| ServerUrlError(why.to_owned());
        let mut endpoint = Url::parse(base).map_err(|error| ServerUrlError(format!("cannot be read: {error}")))?;
        if endpoint.scheme() != "http" {
            return Err(refused("does not begin with http://; put a proxy before a server that wants TLS"));
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(refused("names a user; give a key by EMBEDDINGS_API_KEY instead"));
        }
        let path = format!("{}/embeddings", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        let mut headers = HeaderMap::new();
        if let Some(ApiKey(header)) = key {
            headers.insert(AUTHORIZATION, header.clone());
        }
        let client = Client::builder().default_headers(headers).redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| ServerUrlError(format!("cannot be used: {error}")))?;
        Ok(Self { client, endpoint, model: model.into() })
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) async fn embed(&self, text: &str) -> Result<TextEmbedding, ServerError> {
        // Others refuse a field that only these know, and these have more components unless they are told.
        let dimensions = self.model.starts_with("text-embedding-3").then_some(DIMENSIONS);
        let request = Request { input: text, model: &self.model, encoding_format: "base64", dimensions };
        let response = self.client.post(self.endpoint.clone()).json(&request).send().await.map_err(unreachable)?;
        let status = response.status();
        let body = read(response).await?;
        if !status.is_success() {
            return Err(ServerError::Refused { status, message: message(&body) });
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| ServerError::Answer(format!("cannot be read: {error}")))?;
        let [Datum { embedding }] = <[Datum; 1]>::try_from(answer.data)
            .map_err(|data| ServerError::Answer(format!("holds {} vectors", data.len())))?;
        let vector = of_length_1(components(embedding)?)?;
        Ok(TextEmbedding { vector: vector.into(), tokens: answer.usage.prompt_tokens, truncated: false })
    }
}

/// Error texts of the HTTP client hold the address, which callers log; it is known.
fn unreachable(error: reqwest::Error) -> ServerError {
    ServerError::Unreachable(error.without_url())
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, ServerError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ServerError::Answer(format!("has more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an error says: OpenAI's `error.message`, else the beginning of the body.
fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    text.chars().filter(|character| !character.is_control()).take(MAX_MESSAGE_CHARACTERS).collect()
}

fn components(embedding: Components) -> Result<Vec<f32>, ServerError> {
    match embedding {
        Components::Float(components) => Ok(components),
        Components::Base64(text) => {
            let bytes = STANDARD.decode(text).map_err(|error| ServerError::Answer(format!("is no base64: {error}")))?;
            let (components, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(ServerError::Answer("holds a part of a component".to_owned()));
            }
            Ok(components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
    }
}

/// The vector as it is, or scaled where its length is not 1.
fn of_length_1(vector: Vec<f32>) -> Result<Vec<f32>, ServerError> {
    if vector.len() != DIMENSIONS {
        return Err(ServerError::Answer(format!("has {} components, not {DIMENSIONS}", vector.len())));
    }
    let length = vector.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    if !length.is_normal() {
        return Err(ServerError::Answer(format!("has a vector of length {length}")));
    }
    if (length - 1.0).abs() <= LENGTH_TOLERANCE {
        return Ok(vector);
    }
    #[expect(clippy::cast_possible_truncation, reason = "vectors are of 32-bit floats")]
    let scaled = vector.into_iter().map(|component| (f64::from(component) / length) as f32).collect();
    Ok(scaled)
}
