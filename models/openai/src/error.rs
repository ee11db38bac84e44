//! Why there is no answer, and what to do about it.

use std::error::Error as StdError;
use std::time::Duration;

use serde_json::Value;

/// What is kept of a refusal, in characters.
pub(crate) const MAX_REFUSAL_CHARACTERS: usize = 300;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or its connection broke before the answer was complete.
    #[error("the connection to the server fails")]
    Unreachable {
        /// What the connection says.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It allows no more requests for now.
    #[error("the server limits the rate of requests: {body}")]
    RateLimited {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// The beginning of what it said.
        body: String,
    },
    /// It answered with an error. From 500 on that is its own; below, the request's.
    #[error("the server refuses with status {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// The beginning of what it said.
        body: String,
    },
    /// It answered with something else than what was asked for.
    #[error("the server's answer cannot be used: {why}")]
    Unintelligible {
        /// What is wrong with it, in words that hold nothing of the answer itself.
        why: String,
        /// What the parser says.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl Error {
    /// An answer of which this is wrong.
    pub fn unintelligible(why: impl Into<String>) -> Self {
        Self::Unintelligible { why: why.into(), source: None }
    }

    /// Whether it says that the server is not well: the same request may go better later. A server that finds fault with a
    /// request, or answers badly, is there.
    #[must_use]
    pub fn blames_server(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => true,
            Self::Refused { status, .. } => is_servers_fault(*status),
            Self::Unintelligible { .. } => false,
        }
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Unintelligible { .. } => None,
        }
    }

    /// What a server said with a status that is no success.
    pub(crate) fn refusal(status: u16, retry_after: Option<Duration>, body: &str) -> Self {
        // A quota that is used up comes as 429, but no pause helps.
        let is_pause = status == 429 && !body.contains("insufficient_quota");
        let words = words(body);
        let words = words.split(|character: char| character.is_whitespace() || character.is_control());
        let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let body = line.chars().take(MAX_REFUSAL_CHARACTERS).collect();
        if is_pause { Self::RateLimited { retry_after, body } } else { Self::Refused { status, retry_after, body } }
    }
}

/// The message of an error that is of OpenAI's form, else all there is.
fn words(body: &str) -> String {
    let error: Option<Value> = serde_json::from_str(body).ok();
    let message = error.as_ref().and_then(|error| error.pointer("/error/message")?.as_str());
    message.unwrap_or(body).to_owned()
}

/// Whether a status says that the server is not well. Its time-outs and conflicts are not the request's fault either.
#[must_use]
pub fn is_servers_fault(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 409 | 425)
}

/// Why a server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The key cannot be sent.
    #[error("the key holds characters that no key has")]
    Key,
    /// The address cannot be used.
    #[error("the address {0}")]
    Address(String),
    /// There are no certificate authorities to check the server by.
    #[error("the system's certificate authorities cannot be used: install ca-certificates")]
    Certificates(#[source] Box<dyn StdError + Send + Sync>),
    /// The HTTP client.
    #[error("no HTTP client can be made")]
    Client(#[source] Box<dyn StdError + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_the_beginning_of_what_was_said() {
        let Error::Refused { status: 400, body, .. } = Error::refusal(400, None, &"bad\n\0  prompt ".repeat(100))
        else {
            panic!()
        };
        assert!(body.starts_with("bad prompt bad prompt") && body.chars().count() == MAX_REFUSAL_CHARACTERS, "{body}");
        let said = |body: &str| Error::refusal(503, None, body).to_string();
        let of_openai = said(r#"{"error": {"message": "come\nlater", "type": "server_error"}}"#);
        assert_eq!(of_openai, "the server refuses with status 503: come later");
        assert_eq!(said("\"later\""), "the server refuses with status 503: \"later\"");
    }

    #[test]
    fn a_spent_quota_is_no_pause() {
        assert!(matches!(Error::refusal(429, None, "slow down"), Error::RateLimited { .. }));
        let spent = r#"{"error": {"message": "pay", "code": "insufficient_quota"}}"#;
        assert!(matches!(Error::refusal(429, None, spent), Error::Refused { status: 429, .. }));
    }

    #[test]
    fn servers_are_blamed_for_what_is_theirs() {
        for (status, expected) in [(400, false), (401, false), (404, false), (408, true), (429, true), (503, true)] {
            assert_eq!(Error::refusal(status, None, "").blames_server(), expected, "{status}");
        }
        assert!(Error::Unreachable { source: "closed".into() }.blames_server());
        assert!(!Error::unintelligible("it is not JSON").blames_server());
    }
}
