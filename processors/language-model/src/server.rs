//! The wire: one request and its answer, in OpenAI's form. No retries, no time limits but for connecting.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::CreateChatCompletionRequest;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest_of_async_openai as reqwest;
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::completion::Usage;
use crate::error::{CallError, SetupError};
use crate::settings::ApiKey;

/// OpenAI itself.
const OPENAI: &str = "https://api.openai.com/v1";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// No answer that fits an event is longer.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// What is read of a refusal, in bytes, and what is kept of it, in characters.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
const MAX_REFUSAL_CHARACTERS: usize = 300;

/// A server that speaks OpenAI's protocol.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client<Endpoint>,
    /// OpenAI's newer models refuse `max_tokens`, most other servers know nothing else.
    pub(crate) is_openai: bool,
}

/// One answer, or one piece of it. Servers leave out much of what OpenAI sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) model: Option<String>,
    choices: Option<Vec<Choice>>,
    pub(crate) usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    #[serde(alias = "delta")]
    pub(crate) message: Option<Message>,
    pub(crate) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Message {
    pub(crate) content: Option<String>,
    /// Why the model declines to answer.
    pub(crate) refusal: Option<String>,
}

pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Answer, CallError>> + Send>>;

impl Server {
    pub(crate) fn new(base_url: Option<&str>, key: Option<&ApiKey>) -> Result<Self, SetupError> {
        let base = base_url.unwrap_or(OPENAI);
        let url = reqwest::Url::parse(base).map_err(|error| SetupError::BaseUrl(Box::new(error)))?;
        let host = url.host_str().unwrap_or_default();
        let client = http_client(&url)?;
        let endpoint = Endpoint::new(base, key)?;
        let key = key.map(|key| key.expose().to_owned());
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let (client, key) = (client.clone(), key.clone());
            async move { send(&client, request, key.as_deref()).await }
        });
        Ok(Self {
            is_openai: host == "openai.com" || host.ends_with(".openai.com") || host.ends_with(".openai.azure.com"),
            client: Client::build(reqwest_without_tls()?, endpoint).with_http_service(service),
        })
    }

    /// The whole answer at once.
    pub(crate) async fn complete(&self, request: &CreateChatCompletionRequest) -> Result<Answer, CallError> {
        let answer: Result<Value, _> = self.client.chat().create_byot(request).await;
        read(answer)
    }

    /// The answer in pieces.
    pub(crate) async fn stream(&self, request: &CreateChatCompletionRequest) -> Result<Pieces, CallError> {
        let pieces = self.client.chat().create_stream_byot::<_, Value>(request).await.map_err(failure)?;
        Ok(Box::pin(pieces.map(read)))
    }
}

impl Answer {
    /// The one choice that was asked for, if there is any yet.
    pub(crate) fn choice(&mut self) -> Option<Choice> {
        self.choices.take().and_then(|choices| choices.into_iter().next())
    }
}

fn read(answer: Result<Value, OpenAIError>) -> Result<Answer, CallError> {
    let answer = answer.map_err(failure)?;
    let answer: Answer = serde_json::from_value(answer).map_err(|error| CallError::InvalidOutput {
        why: "the server's reply is not of OpenAI's form".to_owned(),
        source: Some(Box::new(error)),
    })?;
    // Once a stream has begun, the status is sent: errors come as pieces.
    if let Some(error) = &answer.error {
        let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        return Err(refusal(status.unwrap_or(500), None, &error.to_string()));
    }
    Ok(answer)
}

fn failure(error: OpenAIError) -> CallError {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<Rejection>() {
            Ok(rejection) => refusal(rejection.status, rejection.retry_after, &rejection.body),
            Err(source) => CallError::Unreachable { source },
        },
        OpenAIError::JSONDeserialize(error, _) => {
            CallError::InvalidOutput { why: "the server's reply is not JSON".to_owned(), source: Some(Box::new(error)) }
        }
        error => CallError::Unreachable { source: Box::new(error) },
    }
}

fn refusal(status: u16, retry_after: Option<Duration>, body: &str) -> CallError {
    // A quota that is used up comes as 429, but no pause helps.
    let is_pause = status == 429 && !body.contains("insufficient_quota");
    let words = body.split(|character: char| character.is_whitespace() || character.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let body = line.chars().take(MAX_REFUSAL_CHARACTERS).collect();
    if is_pause { CallError::RateLimited { retry_after, body } } else { CallError::Refused { status, body } }
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
    let mut response = client.execute(request.build().await?).await?;
    if response.status().is_success() {
        return Ok(limited(response)?);
    }
    let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers(), Utc::now()));
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

/// Where to ask, and with which headers. async-openai's own reads more variables than are documented here, and panics
/// about keys that no header can hold.
#[derive(Clone, Debug)]
struct Endpoint {
    base: String,
    key: SecretString,
    headers: HeaderMap,
}

impl Endpoint {
    fn new(base: &str, key: Option<&ApiKey>) -> Result<Self, SetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let bearer = format!("Bearer {}", key.expose());
            let mut bearer = HeaderValue::try_from(bearer).map_err(|_| SetupError::Key)?;
            // Hides it from `Debug`.
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let key = SecretString::from(key.map(|key| key.expose().to_owned()).unwrap_or_default());
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, headers })
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

fn http_client(url: &reqwest::Url) -> Result<reqwest::Client, SetupError> {
    let mut client = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        // A request that follows a redirect may have lost its body, and its key has no business elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("jangbogo/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls(url.scheme() == "https").map_err(SetupError::Certificates)?);
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        client = client.no_proxy();
    }
    client.build().map_err(|error| SetupError::Client(Box::new(error)))
}

/// The client that builds requests; it sends none.
fn reqwest_without_tls() -> Result<reqwest::Client, SetupError> {
    let tls = tls(false).map_err(SetupError::Certificates)?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    client.build().map_err(|error| SetupError::Client(Box::new(error)))
}

/// Plain HTTP needs no certificate authorities: small containers have none.
fn tls(with_authorities: bool) -> Result<rustls::ClientConfig, Box<dyn Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = if with_authorities {
        config.with_platform_verifier()?
    } else {
        config.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(config.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_in_all_their_forms() {
        let now = DateTime::parse_from_rfc2822("Wed, 21 Oct 2026 07:28:00 GMT").unwrap().to_utc();
        for (name, value, seconds) in [
            ("retry-after", "7", Some(7.0)),
            ("retry-after", "0.5", Some(0.5)),
            ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT", Some(30.0)),
            ("retry-after", "Wed, 21 Oct 2026 07:00:00 GMT", Some(0.0)),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
            ("retry-after-ms", "250", Some(0.25)),
            ("date", "7", None),
        ] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs_f64), "{name}: {value}");
        }
    }

    #[test]
    fn refusals_keep_the_beginning_of_what_was_said() {
        let CallError::Refused { status: 400, body } = refusal(400, None, &"bad\n\0  prompt ".repeat(100)) else {
            panic!()
        };
        assert!(body.starts_with("bad prompt bad prompt") && body.chars().count() == MAX_REFUSAL_CHARACTERS, "{body}");
        assert!(matches!(refusal(429, None, "slow down"), CallError::RateLimited { .. }));
        assert!(matches!(refusal(429, None, "insufficient_quota"), CallError::Refused { status: 429, .. }));
    }

    #[test]
    fn keys_are_hidden_and_checked() {
        let server = Server::new(Some("http://localhost/v1/"), Some(&ApiKey::from("sk-secret"))).unwrap();
        assert!(!format!("{server:?}").contains("secret"));
        assert!(matches!(
            Server::new(Some("http://localhost"), Some(&ApiKey::from("a\nb"))).unwrap_err(),
            SetupError::Key
        ));
        assert!(matches!(Server::new(Some("somewhere"), None).unwrap_err(), SetupError::BaseUrl(_)));
    }

    #[test]
    fn https_is_ready_where_there_are_authorities() {
        match Server::new(None, Some(&ApiKey::from("sk-secret"))) {
            Ok(server) => assert!(server.is_openai),
            Err(error) => assert!(matches!(error, SetupError::Certificates(_)), "{error:?}"),
        }
        assert!(!Server::new(Some("http://localhost"), None).unwrap().is_openai);
    }
}
