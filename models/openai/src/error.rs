//! Errors of requests.

use std::error::Error as StdError;
use std::time::Duration;

use serde_json::Value;

/// Characters kept of an error response.
pub(crate) const MAX_REFUSAL_CHARACTERS: usize = 300;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or the connection broke before the response was complete.
    #[error("connection to the server failed")]
    Unreachable {
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server's rate limit is reached.
    #[error("rate limited by the server: {body}")]
    RateLimited {
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
        /// The beginning of the response body.
        body: String,
    },
    /// An error status: from 500 on the server's fault, below the request's.
    #[error("the server answered with status {status}: {body}")]
    Refused {
        status: u16,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
        /// The beginning of the response body.
        body: String,
    },
    /// The response has another form than expected.
    #[error("invalid response of the server: {why}")]
    Unintelligible {
        /// The fault, without a quotation of the response.
        why: String,
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl Error {
    /// A response with this fault.
    pub fn unintelligible(why: impl Into<String>) -> Self {
        Self::Unintelligible { why: why.into(), source: None }
    }

    /// True if it is a failure of the server, so that a retry may succeed. A server that rejects a request, or answers
    /// badly, is available.
    #[must_use]
    pub fn blames_server(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => true,
            Self::Refused { status, .. } => is_servers_fault(*status),
            Self::Unintelligible { .. } => false,
        }
    }

    /// The pause that the server asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Unintelligible { .. } => None,
        }
    }

    pub(crate) fn refusal(status: u16, retry_after: Option<Duration>, body: &str) -> Self {
        // A spent quota has status 429 too, but does not recover within a pause.
        let is_rate_limit = status == 429 && !body.contains("insufficient_quota");
        let message = message(body);
        let words = message.split(|character: char| character.is_whitespace() || character.is_control());
        let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let body = line.chars().take(MAX_REFUSAL_CHARACTERS).collect();
        if is_rate_limit {
            Self::RateLimited { retry_after, body }
        } else {
            Self::Refused { status, retry_after, body }
        }
    }
}

/// The message of an error in OpenAI's format, or else the whole body.
fn message(body: &str) -> String {
    let error: Option<Value> = serde_json::from_str(body).ok();
    let message = error.as_ref().and_then(|error| error.pointer("/error/message")?.as_str());
    message.unwrap_or(body).to_owned()
}

/// True if a status is the server's fault: server errors, and its time-outs and conflicts.
#[must_use]
pub fn is_servers_fault(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 409 | 425)
}

/// A client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The key is invalid as a header.
    #[error("the key contains invalid characters")]
    Key,
    /// The address is invalid.
    #[error("the address {0}")]
    Address(String),
    /// There are no certificate authorities.
    #[error("the system's certificate authorities cannot be loaded: install ca-certificates")]
    Certificates(#[source] Box<dyn StdError + Send + Sync>),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] Box<dyn StdError + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_responses_are_shortened() {
        let Error::Refused { status: 400, body, .. } = Error::refusal(400, None, &"bad\n\0  prompt ".repeat(100))
        else {
            panic!()
        };
        assert!(body.starts_with("bad prompt bad prompt") && body.chars().count() == MAX_REFUSAL_CHARACTERS, "{body}");
        let message = |body: &str| Error::refusal(503, None, body).to_string();
        let in_openai_format = message(r#"{"error": {"message": "come\nlater", "type": "server_error"}}"#);
        assert_eq!(in_openai_format, "the server answered with status 503: come later");
        assert_eq!(message("\"later\""), "the server answered with status 503: \"later\"");
    }

    #[test]
    fn a_spent_quota_is_not_a_rate_limit() {
        assert!(matches!(Error::refusal(429, None, "slow down"), Error::RateLimited { .. }));
        let spent = r#"{"error": {"message": "pay", "code": "insufficient_quota"}}"#;
        assert!(matches!(Error::refusal(429, None, spent), Error::Refused { status: 429, .. }));
    }

    #[test]
    fn server_faults_and_request_faults_are_distinguished() {
        for (status, expected) in [(400, false), (401, false), (404, false), (408, true), (429, true), (503, true)] {
            assert_eq!(Error::refusal(status, None, "").blames_server(), expected, "{status}");
        }
        assert!(Error::Unreachable { source: "closed".into() }.blames_server());
        assert!(!Error::unintelligible("it is not JSON").blames_server());
    }
}
