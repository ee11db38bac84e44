//! Errors of a client.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_embedding::LocalModelError;
use jangbogo_embedding::text::InvalidText;

/// A client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The server's address or key is invalid.
    #[error("embeddings server settings are invalid: check EMBEDDINGS_URL and EMBEDDINGS_API_KEY")]
    Server(#[from] jangbogo_openai::SetupError),
    /// The address of Redis is invalid.
    #[error("redis address is invalid: check REDIS_URL")]
    Redis(#[from] redis::RedisError),
}

/// There is no vector now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmbedError {
    /// The text cannot be embedded, now or later.
    #[error("the text {0}")]
    Text(#[from] InvalidText),
    /// The time limit has passed.
    #[error("no embedding within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// The queue is full. Nothing was sent.
    #[error("too many texts are waiting for the embeddings server: retry later, or raise EMBEDDINGS_MAX_WAITING")]
    Busy,
    /// The circuit breaker is open. Nothing was sent.
    #[error("embeddings server unavailable: its circuit breaker is open, and probes it in the background")]
    Unavailable,
    /// The server answered with an error, or cannot be reached.
    #[error("embeddings server request failed: check EMBEDDINGS_URL, EMBEDDINGS_API_KEY and EMBEDDING_MODEL")]
    Server(#[source] Arc<jangbogo_openai::Error>),
    /// The model in this process failed.
    #[error("the embedding model in this process failed")]
    LocalModel(#[source] LocalModelError),
}

impl EmbedError {
    /// True if the server finds fault with the texts.
    pub(super) fn blames_texts(&self) -> bool {
        matches!(self, Self::Server(error) if blames_texts(error))
    }

    /// True if the fallback may be used: the server has failed, and neither the text nor the number of texts is to
    /// blame.
    pub(super) fn is_servers_failure(&self) -> bool {
        match self {
            Self::Unavailable | Self::TooSlow(_) => true,
            Self::Server(_) => !self.blames_texts(),
            Self::Text(_) | Self::Busy | Self::LocalModel(_) => false,
        }
    }

    /// Its label in metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::TooSlow(_) => "too-slow",
            Self::Busy => "busy",
            Self::Unavailable => "away",
            Self::Server(_) => "server",
            Self::LocalModel(_) => "in-process",
        }
    }
}

/// True if a server rejects some text of a request as malformed, too long or unprocessable. The others may be valid.
pub(super) fn blames_texts(error: &jangbogo_openai::Error) -> bool {
    matches!(error, jangbogo_openai::Error::Refused { status: 400 | 413 | 422, .. })
}
