//! Errors of our HTTP services: RFC 9457 problem details, and nothing else.
//!
//! Handlers return `Result<_, Problem>`; [`answer_with_problems`] is the outermost layer of a router: it gives each
//! request an id, fills in `instance`, and turns whatever error was not a problem (a rejected extractor, a panic) into
//! one. [`unknown_path`] and [`method_not_allowed`] are the router's fallbacks.

use std::panic::AssertUnwindSafe;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use tracing::{error, warn};
use uuid::Uuid;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Names one request, in both directions: 1 to 64 of `A-Z a-z 0-9 . _ -`; one is drawn if none is given.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TYPE_PREFIX: &str = "urn:jangbogo:problem:";
const INSTANCE_PREFIX: &str = "urn:jangbogo:request:";
/// The most of a foreign error's text that becomes a problem's detail.
const MAX_FOREIGN_BYTES: usize = 4096;

/// Why a request was not answered: RFC 9457 problem details.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Problem(Box<Details>);

/// Why a request was not answered: RFC 9457 problem details.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct Details {
    /// What kind of problem: a URN that stays the same.
    #[serde(rename = "type")]
    kind: String,
    /// The kind, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What was wrong this time, and what to do.
    detail: String,
    /// This occurrence: the request's id, as the log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Each thing that was wrong, when there may be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemPart>,
    #[serde(skip)]
    retry_after_seconds: Option<u32>,
}

/// One thing that was wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemPart {
    /// Which line of a body of lines, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Where in the body (or in the line): an RFC 6901 JSON pointer; empty for all of it.
    pub pointer: String,
    /// What was wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem of the kind `urn:jangbogo:problem:<slug>`.
    #[must_use]
    pub fn new(status: StatusCode, slug: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            errors: Vec::new(),
            retry_after_seconds: None,
        }))
    }

    /// Something unforeseen. The detail tells nothing: log the cause.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "something unforeseen happened; the service's log has it under this instance";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Internal error", detail)
    }

    /// A server that this service needs does not answer; the request may be repeated.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable", detail);
        problem.0.retry_after_seconds = Some(1);
        problem
    }

    /// Adds the things that were wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ProblemPart>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What was wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Each thing that was wrong.
    #[must_use]
    pub fn errors(&self) -> &[ProblemPart] {
        &self.0.errors
    }

    fn of_status(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Request refused");
        let slug = title.to_ascii_lowercase().replace(' ', "-");
        let detail = if detail.trim().is_empty() { title.to_owned() } else { detail };
        Self::new(status, &slug, title, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if let Some(seconds) = self.0.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The id of a request: an extension that [`answer_with_problems`] adds.
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl RequestId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(request: &Request) -> Self {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(allowed) => Self(id.to_owned()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }
}

/// Gives each request an id and makes every error a problem. The outermost layer: `middleware::from_fn` takes it.
pub async fn answer_with_problems(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(id.clone());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = answer.unwrap_or_else(|_| {
        // The panic hook has logged what and where.
        error!(request_id = id.0, %method, path, "a handler panicked");
        Problem::internal().into_response()
    });
    let mut response = if is_error(&response) { as_problem(response, &id, &method, &path).await } else { response };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The fallback for a path that no route has.
#[allow(clippy::unused_async, reason = "axum takes async handlers")]
pub async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; /openapi.json lists what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "unknown-path", "Unknown path", detail)
}

/// The fallback for a path that exists with another method; axum adds the header `Allow`.
#[allow(clippy::unused_async, reason = "axum takes async handlers")]
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; the header Allow says what it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}

fn is_error(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

async fn as_problem(response: Response, id: &RequestId, method: &Method, path: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None => Problem::of_status(parts.status, text_of(body).await),
    };
    problem.0.instance = Some(format!("{INSTANCE_PREFIX}{}", id.0));
    if parts.status.is_server_error() {
        warn!(request_id = id.0, %method, path, status = problem.0.status, detail = problem.0.detail, "request failed");
    }
    let mut answer = problem.into_response();
    // What the first answer said besides its body, such as Allow, still holds.
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

async fn text_of(body: Body) -> String {
    match to_bytes(body, MAX_FOREIGN_BYTES).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::{get, post};
    use serde_json::Value;
    use tokio::net::TcpListener;

    use super::*;

    async fn missing() -> Problem {
        Problem::unavailable("postgres does not answer")
    }

    async fn broken() -> StatusCode {
        panic!("a handler's mistake")
    }

    async fn start() -> std::net::SocketAddr {
        let router = Router::new()
            .route("/problem", get(missing))
            .route("/panic", get(broken))
            .route("/number/{n}", post(async |axum::extract::Path(n): axum::extract::Path<u8>| n.to_string()))
            .fallback(unknown_path)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn(answer_with_problems));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    async fn request(line: &str) -> (String, Value) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(start().await).await.unwrap();
        let text = format!("{line} HTTP/1.1\r\nhost: shop\r\nx-request-id: r-1\r\nconnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap())
    }

    #[tokio::test]
    async fn every_error_is_a_problem_with_the_requests_id() {
        let cases = [
            ("GET /problem", 503, "unavailable"),
            ("GET /panic", 500, "internal-error"),
            ("GET /nowhere", 404, "unknown-path"),
            ("PUT /problem", 405, "method-not-allowed"),
            ("POST /number/many", 400, "bad-request"),
        ];
        for (line, status, slug) in cases {
            let (head, body) = request(line).await;
            assert!(head.contains("content-type: application/problem+json"), "{line}: {head}");
            assert!(head.contains("x-request-id: r-1"), "{line}: {head}");
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{line}: {head}");
            assert_eq!(body["type"], format!("urn:jangbogo:problem:{slug}"), "{line}");
            assert_eq!(body["status"], status, "{line}");
            assert_eq!(body["instance"], "urn:jangbogo:request:r-1", "{line}");
            assert!(!body["detail"].as_str().unwrap().is_empty(), "{line}");
        }
    }

    #[tokio::test]
    async fn headers_of_the_first_answer_are_kept() {
        let (head, _) = request("PUT /problem").await;
        assert!(head.contains("allow: get,head"), "{head}");
        let (head, _) = request("GET /problem").await;
        assert!(head.contains("retry-after: 1"), "{head}");
    }
}
