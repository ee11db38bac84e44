//! What the analyser and the query service ask for a text's vector: the model in this process, or an OpenAI-compatible
//! server.
//!
//! Every answer comes within a time limit or is an error, after which callers go on without a vector.

mod server;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use runtime::telemetry::SECONDS_BUCKETS;

use self::server::Server;
use crate::cache::VectorCache;
use crate::encoder::{EncodeError, Encoder, EncoderArgs, EncoderMetrics, StartError, TextEmbedding};
use crate::models::ModelSpec;
use crate::text::{InvalidText, Prompts, Purpose, check_text};

pub use self::server::{ApiKey, ServerError, ServerUrlError};

/// The longest that the patient wait.
const PATIENCE: Duration = Duration::from_mins(5);

runtime::metrics! {
    /// What a client counts.
    pub struct EmbedderMetrics {
        /// Vectors that were asked for, by what came of it: cached, computed or failed
        embedder_vectors_total: prometheus::IntCounterVec, labels ["outcome"];
        /// Time until a vector came or did not, in seconds
        embedder_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
    }
}

/// The settings of a client.
#[derive(Args, Clone, Debug)]
pub struct EmbedderArgs {
    /// Base URL of an OpenAI-compatible server (…/v1); none: the model is computed in this process
    #[arg(id = "embeddings-url", long, env = "EMBEDDINGS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Key for that server
    #[arg(id = "embeddings-api-key", long, env = "EMBEDDINGS_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<ApiKey>,
    /// Milliseconds that an embedding may take; then there is none
    #[arg(
        id = "embeddings-timeout-ms",
        long,
        env = "EMBEDDINGS_TIMEOUT_MS",
        default_value = "2000",
        value_name = "MILLISECONDS"
    )]
    pub timeout_ms: NonZeroU64,
    /// Texts whose embeddings are kept in memory, about 2 kB each
    #[arg(id = "embedder-cache", long, env = "EMBEDDER_CACHE", default_value_t = 10_000, value_name = "TEXTS")]
    pub cache: u64,
    /// The model: by this name at the server, or in this process.
    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The server's address.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
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
    /// The model in this process.
    #[error(transparent)]
    Encoder(#[from] EncodeError),
    /// The server.
    #[error(transparent)]
    Server(#[from] Arc<ServerError>),
}

#[derive(Clone, Debug)]
enum Source {
    Encoder(Encoder),
    Server(Server),
}

/// Gives texts' vectors, each of length 1. Clones share its cache.
#[derive(Clone, Debug)]
pub struct Embedder {
    source: Source,
    prompts: Prompts,
    cache: VectorCache,
    time_limit: Duration,
    metrics: EmbedderMetrics,
}

impl Embedder {
    /// A client as the settings say: of the server they name, else of a model that is loaded into this process and is
    /// warm when this returns. Whether a server answers is not asked.
    ///
    /// # Errors
    /// When the address cannot be used, or the model not be loaded.
    pub async fn new(
        args: &EmbedderArgs,
        metrics: EmbedderMetrics,
        encoder_metrics: EncoderMetrics,
    ) -> Result<Self, EmbedderError> {
        let Some(url) = &args.url else {
            return Ok(Self::of_encoder(Encoder::load(&args.encoder, encoder_metrics).await?, args, metrics));
        };
        let key = args.api_key.as_ref();
        Ok(Self::of_server(url, &args.encoder.model, key, args.cache, args.time_limit(), metrics)?)
    }

    /// A client of one model at the server with this base URL (`…/v1`), which keeps the vectors of so many texts in
    /// memory. Whether the server answers is not asked.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn of_server(
        url: &str,
        model: &str,
        key: Option<&ApiKey>,
        cached_texts: u64,
        time_limit: Duration,
        metrics: EmbedderMetrics,
    ) -> Result<Self, ServerUrlError> {
        let server = Server::new(url, model, key)?;
        let cache = VectorCache::new(server.model(), cached_texts);
        let prompts = ModelSpec::find(model).map_or(Prompts::NONE, |spec| spec.prompts);
        Ok(Self { source: Source::Server(server), prompts, cache, time_limit, metrics })
    }

    /// A client of a model that is in this process already.
    #[must_use]
    pub fn of_encoder(encoder: Encoder, args: &EmbedderArgs, metrics: EmbedderMetrics) -> Self {
        let cache = VectorCache::new(encoder.model(), args.cache);
        let prompts = encoder.prompts();
        Self { source: Source::Encoder(encoder), prompts, cache, time_limit: args.time_limit(), metrics }
    }

    /// As patient as need be: for whoever would only ask again, and have what was given up computed anew. A model in this
    /// process computes it at low priority.
    #[must_use]
    pub fn patient(self) -> Self {
        let source = match self.source {
            Source::Encoder(encoder) => Source::Encoder(encoder.patient()),
            server @ Source::Server(_) => server,
        };
        Self { source, time_limit: PATIENCE, ..self }
    }

    /// The model's id: what events record.
    #[must_use]
    pub fn model(&self) -> &str {
        match &self.source {
            Source::Encoder(encoder) => encoder.model(),
            Source::Server(server) => server.model(),
        }
    }

    /// The vector of a text, of length 1.
    ///
    /// # Errors
    /// When there is none within the time limit: go on without.
    pub async fn embed(&self, purpose: Purpose, text: &str) -> Result<Arc<[f32]>, EmbedError> {
        check_text(text)?;
        let text = &*self.prompts.before(purpose, text);
        let timer = self.metrics.embedder_seconds.start_timer();
        let embedded = tokio::time::timeout(self.time_limit, self.cache.get_or_embed(text, self.ask(text))).await;
        timer.observe_duration();
        let (outcome, vector) = match embedded {
            Ok(Ok((embedding, cache))) => (cache.choose("cached", "computed"), Ok(embedding.vector)),
            Ok(Err(error)) => ("failed", Err(error)),
            Err(_) => ("failed", Err(EmbedError::TooSlow(self.time_limit))),
        };
        self.metrics.embedder_vectors_total.with_label_values(&[outcome]).inc();
        vector
    }

    async fn ask(&self, text: &str) -> Result<TextEmbedding, EmbedError> {
        match &self.source {
            Source::Encoder(encoder) => Ok(encoder.embed(text).await?),
            Source::Server(server) => Ok(server.embed(text).await.map_err(Arc::new)?),
        }
    }
}

impl EmbedderArgs {
    fn time_limit(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.get())
    }
}

#[cfg(test)]
mod tests;
