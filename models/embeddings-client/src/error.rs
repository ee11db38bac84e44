//! Why there is no vector.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_embedding::text::InvalidText;
use jangbogo_embeddings_server::encoder::{EncodeError, StartError};

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The server's address or key.
    #[error("the embeddings server cannot be asked: check EMBEDDINGS_URL and EMBEDDINGS_API_KEY")]
    Server(#[from] jangbogo_openai::SetupError),
    /// Redis' address.
    #[error("the address of redis cannot be read")]
    Redis(#[from] redis::RedisError),
    /// The model in this process.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why there is no vector now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmbedError {
    /// The text cannot be embedded, now or later.
    #[error("the text {0}")]
    Text(#[from] InvalidText),
    /// It took longer than it may.
    #[error("no embedding within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// As many texts as may wait for the server. Nothing was sent.
    #[error("too many texts are waiting for the embeddings server: ask later, or raise EMBEDDINGS_MAX_WAITING")]
    Busy,
    /// The server has failed too often of late. Nothing was sent.
    #[error("the embeddings server has failed too often: look after it; it is probed again by itself")]
    Unavailable,
    /// The server gives none.
    #[error("the embeddings server gives no vector: check EMBEDDINGS_URL, EMBEDDINGS_API_KEY and EMBEDDING_MODEL")]
    Server(#[source] Arc<jangbogo_openai::Error>),
    /// The model in this process.
    #[error(transparent)]
    Encoder(#[from] EncodeError),
}

impl EmbedError {
    /// Whether the server finds fault with the texts.
    pub(super) fn blames_texts(&self) -> bool {
        matches!(self, Self::Server(error) if blames_texts(error))
    }

    /// Whether the model in this process may stand in: where the server has failed, and not where the text or too many of
    /// them are to blame.
    pub(super) fn is_servers_failure(&self) -> bool {
        match self {
            Self::Unavailable | Self::TooSlow(_) => true,
            Self::Server(_) => !self.blames_texts(),
            Self::Text(_) | Self::Busy | Self::Encoder(_) => false,
        }
    }

    /// What metrics call it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::TooSlow(_) => "too-slow",
            Self::Busy => "busy",
            Self::Unavailable => "away",
            Self::Server(_) => "server",
            Self::Encoder(_) => "in-process",
        }
    }
}

/// Whether a server finds fault with the texts of a request, of which others may be none: they are not well-formed, too
/// long, or not to be processed.
pub(super) fn blames_texts(error: &jangbogo_openai::Error) -> bool {
    matches!(error, jangbogo_openai::Error::Refused { status: 400 | 413 | 422, .. })
}
