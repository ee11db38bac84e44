//! RFC 9457 problem details: the one form of errors of the HTTP services.
//!
//! Handlers return `Result<_, Problem>`. [`answer_with_problems`] is the outermost layer of a router: it assigns each
//! request an id, sets `instance`, and converts every other error (a rejected extractor, a panic) to a problem.
//! [`unknown_path`] and [`method_not_allowed`] are the router's fallbacks.

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

/// Media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Header of the request id, in both directions: 1 to 64 of `A-Z a-z 0-9 . _ -`; generated if absent or invalid.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TYPE_PREFIX: &str = "urn:jangbogo:problem:";
const INSTANCE_PREFIX: &str = "urn:jangbogo:request:";
/// Maximum size of another error's text that becomes a problem's detail.
const MAX_FOREIGN_BYTES: usize = 4096;

/// The request failed: RFC 9457 problem details.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Problem(Box<Details>);

/// The request failed: RFC 9457 problem details.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct Details {
    /// Stable URN of the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// Short description of the kind.
    title: String,
    /// HTTP status.
    status: u16,
    /// Description of this occurrence, and what to do.
    detail: String,
    /// URN of this occurrence, with the request id as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Individual errors, where there may be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemPart>,
    #[serde(skip)]
    retry_after_seconds: Option<u32>,
}

/// One error of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemPart {
    /// Line of an NDJSON body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// RFC 6901 JSON pointer into the body (or the line); empty for all of it.
    pub pointer: String,
    /// Description of the error.
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

    /// An internal error. The detail does not contain the cause: log it.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "an internal error occurred; the service's log has the cause under this instance";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Internal error", detail)
    }

    /// A server that this service needs is unavailable; the client may retry after a second.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable", detail);
        problem.0.retry_after_seconds = Some(1);
        problem
    }

    /// Sets the individual errors.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ProblemPart>) -> Self {
        self.0.errors = errors;
        self
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    #[must_use]
    pub fn errors(&self) -> &[ProblemPart] {
        &self.0.errors
    }

    fn from_status(status: StatusCode, detail: String) -> Self {
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

/// Id of a request: an extension set by [`answer_with_problems`].
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl RequestId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_request(request: &Request) -> Self {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let header = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match header {
            Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(allowed) => Self(id.to_owned()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }
}

/// Assigns each request an id and converts every error to a problem. The outermost layer, for `middleware::from_fn`.
///
/// `tower_http::request_id` would take over an invalid id of the client, and `tower_http::catch_panic` would need the
/// id from here: so neither is used.
pub async fn answer_with_problems(mut request: Request, next: Next) -> Response {
    let id = RequestId::from_request(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(id.clone());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = answer.unwrap_or_else(|_| {
        // The panic hook has logged message and location.
        error!(request_id = id.0, %method, path, "handler panicked");
        Problem::internal().into_response()
    });
    let mut response = if is_error(&response) { as_problem(response, &id, &method, &path).await } else { response };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Fallback for a path without a route.
#[allow(clippy::unused_async, reason = "axum takes async handlers")]
pub async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!("no resource at {}; /openapi.json lists the routes", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "unknown-path", "Unknown path", detail)
}

/// Fallback for a path that has routes for other methods; axum adds the header `Allow`.
#[allow(clippy::unused_async, reason = "axum takes async handlers")]
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not allow {method}; the header Allow lists the methods", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}

fn is_error(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

async fn as_problem(response: Response, id: &RequestId, method: &Method, path: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None => Problem::from_status(parts.status, text_of(body).await),
    };
    problem.0.instance = Some(format!("{INSTANCE_PREFIX}{}", id.0));
    if parts.status.is_server_error() {
        warn!(request_id = id.0, %method, path, status = problem.0.status, detail = problem.0.detail, "request failed");
    }
    let mut with_problem = problem.into_response();
    // Other headers of the original response, such as Allow, are kept.
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            with_problem.headers_mut().insert(name, value.clone());
        }
    }
    with_problem
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
    use axum::http::response::Parts;
    use axum::middleware::from_fn;
    use axum::routing::{get, post};
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    async fn unavailable() -> Problem {
        Problem::unavailable("postgres is unavailable")
    }

    async fn broken() -> StatusCode {
        panic!("a bug in a handler")
    }

    async fn request(method: Method, path: &str, id: &str) -> (Parts, Value) {
        let router = Router::new()
            .route("/problem", get(unavailable))
            .route("/panic", get(broken))
            .route("/number/{n}", post(async |axum::extract::Path(n): axum::extract::Path<u8>| n.to_string()))
            .fallback(unknown_path)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn(answer_with_problems));
        let request = Request::builder().method(method).uri(path).header(REQUEST_ID, id).body(Body::empty()).unwrap();
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        (parts, serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn every_error_is_a_problem_with_the_requests_id() {
        let cases = [
            (Method::GET, "/problem", 503, "unavailable"),
            (Method::GET, "/panic", 500, "internal-error"),
            (Method::GET, "/nowhere", 404, "unknown-path"),
            (Method::PUT, "/problem", 405, "method-not-allowed"),
            (Method::POST, "/number/many", 400, "bad-request"),
        ];
        for (method, path, status, slug) in cases {
            let (parts, body) = request(method, path, "r-1").await;
            assert_eq!(parts.headers[header::CONTENT_TYPE], PROBLEM_JSON, "{path}");
            assert_eq!(parts.headers[REQUEST_ID], "r-1", "{path}");
            assert_eq!(parts.status, status, "{path}");
            assert_eq!(body["type"], format!("urn:jangbogo:problem:{slug}"), "{path}");
            assert_eq!(body["status"], status, "{path}");
            assert_eq!(body["instance"], "urn:jangbogo:request:r-1", "{path}");
            assert!(!body["detail"].as_str().unwrap().is_empty(), "{path}");
        }
    }

    #[tokio::test]
    async fn an_invalid_request_id_is_replaced() {
        for invalid in ["", "a b", &"x".repeat(65)] {
            let (parts, _) = request(Method::GET, "/problem", invalid).await;
            assert!(Uuid::parse_str(parts.headers[REQUEST_ID].to_str().unwrap()).is_ok(), "{invalid:?}");
        }
    }

    #[tokio::test]
    async fn headers_of_the_original_response_are_kept() {
        let (parts, _) = request(Method::PUT, "/problem", "r-1").await;
        assert_eq!(parts.headers[header::ALLOW], "GET,HEAD");
        let (parts, _) = request(Method::GET, "/problem", "r-1").await;
        assert_eq!(parts.headers[header::RETRY_AFTER], "1");
    }
}
