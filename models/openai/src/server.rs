//! A server: requests go out, answers come in.

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

use crate::endpoint::{ApiKey, Endpoint, is_openai, read_address};
use crate::error::{Error, SetupError};
use crate::tls::{http_client, http_client_without_tls};

/// No answer that fits an event is longer, nor are the vectors of a full request.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// What is read of a refusal, in bytes.
const MAX_REFUSAL_BYTES: usize = 16 << 10;

/// A server that speaks OpenAI's protocol, and the connections to it. Clones share them.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client<Endpoint>,
    is_openai: bool,
}

/// An answer as it comes.
pub type ReplyChunks<A> = Pin<Box<dyn Stream<Item = Result<A, Error>> + Send>>;

impl Server {
    /// The server at this address (`…/v1`), which is not asked yet. An empty key is none.
    ///
    /// # Errors
    /// When the address or the key cannot be used, or there are no certificate authorities to check the server by.
    pub fn new(address: &str, key: Option<&ApiKey>) -> Result<Self, SetupError> {
        let url = read_address(address)?;
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

    /// Whether it is OpenAI's own: servers differ in what they take.
    #[must_use]
    pub fn is_openai(&self) -> bool {
        self.is_openai
    }

    /// A chat's next message, whole: `POST /chat/completions`.
    ///
    /// # Errors
    /// When there is none, or none that is an `A`.
    pub async fn complete<A: DeserializeOwned>(&self, request: &(impl Serialize + Sync)) -> Result<A, Error> {
        read(self.client.chat().create_byot(request).await)
    }

    /// A chat's next message in pieces: `POST /chat/completions` with `stream`.
    ///
    /// # Errors
    /// When there is none. Each piece may be an error too, which is the last.
    pub async fn stream<A: DeserializeOwned + 'static>(
        &self,
        request: &(impl Serialize + Sync),
    ) -> Result<ReplyChunks<A>, Error> {
        let pieces = self.client.chat().create_stream_byot::<_, Value>(request).await.map_err(failure)?;
        Ok(Box::pin(pieces.map(read)))
    }

    /// Vectors of texts: `POST /embeddings`.
    ///
    /// # Errors
    /// When there are none, or none that are an `A`.
    pub async fn embed<A: DeserializeOwned>(&self, request: &(impl Serialize + Sync)) -> Result<A, Error> {
        read(self.client.embeddings().create_byot(request).await)
    }
}

/// An answer, or a piece of one, as what it is asked for. Servers leave out much of what OpenAI sends.
fn read<A: DeserializeOwned>(answer: Result<Value, OpenAIError>) -> Result<A, Error> {
    let answer = answer.map_err(failure)?;
    // Once a stream has begun, the status is sent: errors come as pieces.
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
        // What comes with it is the answer.
        OpenAIError::JSONDeserialize(error, _) => {
            Error::Unintelligible { why: "it is not JSON".to_owned(), source: Some(Box::new(error)) }
        }
        error => Error::Unreachable { source: Box::new(error) },
    }
}

/// A status that is no success.
#[derive(Debug, thiserror::Error)]
#[error("status {status}")]
struct Rejection {
    status: u16,
    retry_after: Option<Duration>,
    body: String,
}

/// Sends a request in the place of async-openai's own service, which retries by itself, knows no `Retry-After`, and loses
/// the status of refusals that are not in OpenAI's form.
async fn send(
    client: &reqwest::Client,
    request: HttpRequestFactory,
    key: Option<&str>,
) -> Result<reqwest::Response, tower::BoxError> {
    let request = request.build().await?;
    let (path, began) = (request.url().path().to_owned(), Instant::now());
    // The address is known to whoever asks.
    let mut response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let status = response.status().as_u16();
    debug!(path, status, milliseconds = began.elapsed().as_millis(), "asked");
    if response.status().is_success() {
        return Ok(limited(response)?);
    }
    let retry_after = retry_after(response.headers(), Utc::now());
    let mut body = Vec::new();
    // Half a body says more than that it broke.
    while body.len() < MAX_REFUSAL_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece);
    }
    let mut body = String::from_utf8_lossy(&body).into_owned();
    if let Some(key) = key {
        // Some servers repeat the key that they do not like.
        body = body.replace(key, "(key)");
    }
    Err(Box::new(Rejection { status, retry_after, body }))
}

/// The response with a body that fails when it becomes too long.
fn limited(response: reqwest::Response) -> Result<reqwest::Response, http::Error> {
    let mut limited = http::Response::builder().status(response.status());
    if let Some(headers) = limited.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut received = 0;
    let body = response.bytes_stream().map(move |piece| {
        let piece = piece.map_err(io::Error::other)?;
        received += piece.len();
        if received > MAX_ANSWER_BYTES {
            return Err(io::Error::other("the answer is too long"));
        }
        Ok(piece)
    });
    Ok(limited.body(reqwest::Body::wrap_stream(body))?.into())
}

/// How long the server asks to wait: milliseconds as OpenAI says them, else seconds or a date as HTTP has it.
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
    // A date that has passed asks for no pause.
    Some(date.signed_duration_since(now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests;
