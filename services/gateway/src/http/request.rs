//! Extraction of a command from a request: media type, bounded body, idempotency key and trace context.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt as _;
use jangbogo_http::problem::{Problem, RequestId};

use super::items::Format;
use crate::store::CommandContext;

/// Limit of a body, in bytes.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that are read of a larger body, so that the client reads the answer instead of a connection reset.
const MAX_DRAINED_BYTES: usize = 64 * 1024 * 1024;
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

pub struct CommandRequest {
    pub context: CommandContext,
    /// Media type of the body.
    pub format: Format,
    /// At most [`MAX_BODY_BYTES`].
    pub body: Bytes,
}

impl CommandRequest {
    /// Rejects NDJSON, for commands that are one value.
    pub fn only_json(&self) -> Result<(), Problem> {
        match self.format {
            Format::Json => Ok(()),
            Format::Lines => Err(unsupported_media_type("this command is one value: send it as application/json")),
        }
    }
}

impl<S: Sync> FromRequest<S> for CommandRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let request_id = parts.extensions.get::<RequestId>().ok_or_else(Problem::internal)?;
        let context = CommandContext {
            target: format!("{} {}", parts.method, parts.uri.path()),
            request_id: request_id.as_str().to_owned(),
            traceparent: traceparent(&parts.headers).map(str::to_owned),
            idempotency_key: idempotency_key(&parts.headers)?,
        };
        let body = read(&parts.headers, body).await?;
        Ok(Self { context, format: body_format(&parts.headers, &body)?, body })
    }
}

fn body_format(headers: &HeaderMap, body: &[u8]) -> Result<Format, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        // An empty body needs no media type.
        if body.is_empty() {
            return Ok(Format::Json);
        }
        return Err(unsupported_media_type("the header Content-Type is missing: send application/json"));
    };
    let text = value.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" => Ok(Format::Lines),
        _ => Err(unsupported_media_type(
            "send application/json, or, where a body holds many items, application/x-ndjson",
        )),
    }
}

fn unsupported_media_type(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type", detail)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            let detail =
                format!("an Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-header", "Invalid header", detail))
        }
    }
}

/// The W3C trace context; as that standard requires, an invalid one is dropped rather than rejected.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let fields: Vec<&str> = text.split('-').collect();
    let &[version, trace_id, parent_id, flags] = fields.as_slice() else { return None };
    let is_hex = |field: &str, length: usize| {
        field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |field: &str, length: usize| is_hex(field, length) && field.bytes().any(|byte| byte != b'0');
    let valid =
        is_hex(version, 2) && version != "ff" && is_id(trace_id, 32) && is_id(parent_id, 16) && is_hex(flags, 2);
    valid.then_some(text)
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > MAX_DRAINED_BYTES) {
        return Err(too_large());
    }
    let mut kept = Vec::with_capacity(declared.unwrap_or(0).min(MAX_BODY_BYTES));
    let mut received = 0_usize;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            let detail = format!("the body broke off after {received} bytes: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "incomplete-body", "Incomplete body", detail)
        })?;
        received += chunk.len();
        if received > MAX_DRAINED_BYTES {
            return Err(too_large());
        }
        if received <= MAX_BODY_BYTES {
            kept.extend_from_slice(&chunk);
        }
    }
    if received > MAX_BODY_BYTES { Err(too_large()) } else { Ok(kept.into()) }
}

fn too_large() -> Problem {
    let detail = format!("a body must have at most {MAX_BODY_BYTES} bytes; send a bulk command in several parts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn media_types_may_have_parameters_and_ignore_case() {
        for (media_type, format) in [
            ("application/json", Format::Json),
            ("Application/JSON; charset=utf-8", Format::Json),
            ("application/x-ndjson", Format::Lines),
        ] {
            assert_eq!(body_format(&headers("content-type", media_type), b"{}").unwrap(), format);
        }
        for media_type in ["text/plain", "application/xml", ""] {
            let problem = body_format(&headers("content-type", media_type), b"{}").unwrap_err();
            assert_eq!(problem.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        assert!(body_format(&HeaderMap::new(), b"{}").is_err());
        assert_eq!(body_format(&HeaderMap::new(), b"").unwrap(), Format::Json);
    }

    #[test]
    fn an_invalid_traceparent_is_dropped() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&headers("traceparent", valid)), Some(valid));
        for broken in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(traceparent(&headers("traceparent", broken)), None, "{broken}");
        }
    }

    #[tokio::test]
    async fn a_body_is_bounded() {
        let body = read(&HeaderMap::new(), Body::from(vec![b' '; MAX_BODY_BYTES])).await.unwrap();
        assert_eq!(body.len(), MAX_BODY_BYTES);
        let problem = read(&HeaderMap::new(), Body::from(vec![b' '; MAX_BODY_BYTES + 1])).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let declared = headers("content-length", "1000000000000");
        assert_eq!(read(&declared, Body::empty()).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn an_idempotency_key_is_bounded() {
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        assert_eq!(idempotency_key(&headers("idempotency-key", "a b")).unwrap().as_deref(), Some("a b"));
        assert!(idempotency_key(&headers("idempotency-key", "")).is_err());
        assert!(idempotency_key(&headers("idempotency-key", &"x".repeat(256))).is_err());
    }
}
