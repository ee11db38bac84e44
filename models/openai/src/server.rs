//! Requests to a server.

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_openai::Client;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _};
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use reqwest_of_async_openai as reqwest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::debug;

use crate::endpoint::{ApiKey, Endpoint, is_openai, parse_address};
use crate::error::{Error, SetupError};
use crate::tls::{http_client, http_client_without_tls};

/// Maximum size of a response. Answers that fit an event, and the vectors of a full request, are smaller.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Bytes read of an error response.
const MAX_REFUSAL_BYTES: usize = 16 << 10;

/// A server with OpenAI's API. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client<Endpoint>,
    is_openai: bool,
}

/// The chunks of a streamed response.
type ChunkStream<A> = Pin<Box<dyn Stream<Item = Result<A, Error>> + Send>>;

impl Server {
    /// The server at a base URL (`…/v1`). Connects lazily. An empty key is none.
    ///
    /// # Errors
    /// When the URL or the key is invalid, or there are no certificate authorities for HTTPS.
    pub fn new(address: &str, key: Option<&ApiKey>) -> Result<Self, SetupError> {
        let url = parse_address(address)?;
        let key = key.filter(|key| !key.is_empty());
        let (client, endpoint) = (http_client(&url)?, Endpoint::new(&url, key)?);
        let key = key.map(|key| key.expose().to_owned());
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let (client, key) = (client.clone(), key.clone());
            async move { send(&client, request, key.as_deref()).await }
        });
        let client = Client::build(http_client_without_tls()?, endpoint).with_http_service(service);
        Ok(Self { client, is_openai: is_openai(&url) })
    }

    /// True if it is OpenAI's own or Azure's, which differ from others in some fields.
    #[must_use]
    pub fn is_openai(&self) -> bool {
        self.is_openai
    }

    /// `POST /chat/completions`.
    ///
    /// # Errors
    /// When the request fails, or the response is not an `A`.
    pub async fn complete<A: DeserializeOwned>(&self, request: &(impl Serialize + Sync)) -> Result<A, Error> {
        read(self.client.chat().create_byot(request).await)
    }

    /// `POST /chat/completions` with `stream`.
    ///
    /// # Errors
    /// When the request fails. A chunk may be an error too, which is the last.
    pub async fn stream<A: DeserializeOwned + 'static>(
        &self,
        request: &(impl Serialize + Sync),
    ) -> Result<ChunkStream<A>, Error> {
        let chunks = self.client.chat().create_stream_byot::<_, Value>(request).await.map_err(failure)?;
        Ok(Box::pin(chunks.map(read)))
    }

    /// `POST /embeddings`.
    ///
    /// # Errors
    /// When the request fails, or the response is not an `A`.
    pub async fn embed<A: DeserializeOwned>(&self, request: &(impl Serialize + Sync)) -> Result<A, Error> {
        read(self.client.embeddings().create_byot(request).await)
    }
}

/// Deserialises a response or a chunk of it.
fn read<A: DeserializeOwned>(answer: Result<Value, OpenAIError>) -> Result<A, Error> {
    let answer = answer.map_err(failure)?;
    // A stream has sent its status already: errors are chunks.
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        return Err(Error::refusal(status.unwrap_or(500), None, &answer.to_string()));
    }
    serde_json::from_value(answer).map_err(|error| Error::Unintelligible {
        why: "it is not of OpenAI's form".to_owned(),
        source: Some(Box::new(error)),
    })
}

fn failure(error: OpenAIError) -> Error {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<Rejection>() {
            Ok(rejection) => Error::refusal(rejection.status, rejection.retry_after, &rejection.body),
            Err(source) => Error::Unreachable { source },
        },
        // The second field is the response, which is not to be shown.
        OpenAIError::JSONDeserialize(error, _) => {
            Error::Unintelligible { why: "it is not JSON".to_owned(), source: Some(Box::new(error)) }
        }
        error => Error::Unreachable { source: Box::new(error) },
    }
}

#[derive(Debug, thiserror::Error)]
#[error("status {status}")]
struct Rejection {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
}

/// Sends a request. It replaces async-openai's own service, which retries, ignores `Retry-After`, and loses the status
/// of errors that are not in OpenAI's format.
async fn send(
    client: &reqwest::Client,
    request: HttpRequestFactory,
    key: Option<&str>,
) -> Result<reqwest::Response, tower::BoxError> {
    let request = request.build().await?;
    let (path, began) = (request.url().path().to_owned(), Instant::now());
    // The URL is omitted from errors: it may be confidential.
    let mut response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let status = response.status().as_u16();
    debug!(path, status, milliseconds = began.elapsed().as_millis(), "request sent");
    if response.status().is_success() {
        return Ok(limited(response)?);
    }
    let retry_after = retry_after(response.headers(), Utc::now());
    let mut body = Vec::new();
    // A partial body is more useful than the error of reading it.
    while body.len() < MAX_REFUSAL_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    let mut body = String::from_utf8_lossy(&body).into_owned();
    if let Some(key) = key {
        // Some servers repeat an invalid key.
        body = body.replace(key, "(key)");
    }
    Err(Box::new(Rejection { status, retry_after, body }))
}

/// Limits the size of a response's body.
fn limited(response: reqwest::Response) -> Result<reqwest::Response, http::Error> {
    let mut limited = http::Response::builder().status(response.status());
    if let Some(headers) = limited.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut received = 0;
    let body = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        received += chunk.len();
        if received > MAX_ANSWER_BYTES {
            return Err(io::Error::other("the response is too long"));
        }
        Ok(chunk)
    });
    Ok(limited.body(reqwest::Body::wrap_stream(body))?.into())
}

/// The pause that the server asks for: OpenAI's `retry-after-ms`, or else HTTP's `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    if let Some(milliseconds) =
        text(HeaderName::from_static("retry-after-ms")).and_then(|text| text.parse::<f64>().ok())
    {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let text = text(RETRY_AFTER)?;
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    // A date in the past asks for no pause.
    Some(date.signed_duration_since(now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests;
