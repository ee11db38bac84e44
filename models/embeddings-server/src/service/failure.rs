//! Errors in OpenAI's format: `{"error": {"message", "type", "param", "code"}}`.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::MAX_BODY_BYTES;
use crate::encoder::EncodeError;

/// Value of the header `Retry-After`, in seconds.
const RETRY_AFTER: u16 = 1;

/// A request is invalid.
#[derive(Debug)]
pub(super) struct BadRequest {
    pub param: Option<String>,
    pub message: String,
}

impl BadRequest {
    pub(super) fn in_field(param: &str, message: String) -> Self {
        Self { param: Some(param.to_owned()), message }
    }
}

#[derive(Debug)]
pub(super) enum Failure {
    BadRequest(BadRequest),
    ModelNotFound { requested: String, served: Vec<String> },
    BodyTooLarge,
    BodyUnreadable(String),
    Encoder(EncodeError),
    TooSlow,
}

impl From<BadRequest> for Failure {
    fn from(bad: BadRequest) -> Self {
        Self::BadRequest(bad)
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::BodyTooLarge;
        }
        Self::BodyUnreadable(rejection.body_text())
    }
}

#[derive(Serialize)]
struct Body {
    error: Error,
}

#[derive(Serialize)]
struct Error {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Failure {
    pub(super) fn into_response(self) -> Response {
        let (status, error) = self.status_and_error();
        let mut response = (status, Json(Body { error })).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        response
    }

    fn status_and_error(self) -> (StatusCode, Error) {
        let client_error = |message, param, code| Error { message, r#type: "invalid_request_error", param, code };
        let server_error = |message, code| Error { message, r#type: "server_error", param: None, code };
        match self {
            Self::BadRequest(BadRequest { param, message }) => {
                (StatusCode::BAD_REQUEST, client_error(message, param, None))
            }
            Self::ModelNotFound { requested, served } => {
                let message = format!("there is no model {requested:?}; served: {}", served.join(", "));
                (StatusCode::NOT_FOUND, client_error(message, Some("model".to_owned()), Some("model_not_found")))
            }
            Self::BodyTooLarge => {
                let message = format!("the body has more than {MAX_BODY_BYTES} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, client_error(message, None, None))
            }
            Self::BodyUnreadable(message) => (StatusCode::BAD_REQUEST, client_error(message, None, None)),
            Self::Encoder(EncodeError::Busy) => {
                let (message, code) = (EncodeError::Busy.to_string(), Some("rate_limit_exceeded"));
                let error = Error { message, r#type: "rate_limit_error", param: None, code };
                (StatusCode::TOO_MANY_REQUESTS, error)
            }
            // The cause is logged.
            Self::Encoder(error @ EncodeError::Model(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, server_error(error.to_string(), None))
            }
            Self::Encoder(error @ EncodeError::Stopped) => {
                (StatusCode::SERVICE_UNAVAILABLE, server_error(error.to_string(), None))
            }
            Self::TooSlow => {
                let message = "the request timed out; retry later".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, server_error(message, Some("timeout")))
            }
        }
    }
}
