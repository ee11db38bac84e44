//! What words mean: their vectors, from the embedding service, for as long as it answers at once.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use embedding::Purpose;
use embedding::client::{ApiKey, EmbedError, Embedder, EmbedderMetrics, ServerUrlError};
use embedding::models::DEFAULT_MODEL;
use ranking::search::Meaning;
use runtime::breaker::{Advice, Breaker};
use runtime::telemetry::causes;
use tracing::{info, warn};

/// The embedding service and its model.
#[derive(Args, Clone, Debug)]
pub struct MeaningArgs {
    /// Base URL of the embedding service, or of another OpenAI-compatible server (…/v1)
    #[arg(long, env = "EMBEDDINGS_URL", default_value = "http://127.0.0.1:8000/v1", value_name = "URL")]
    pub embeddings_url: String,
    /// Key for that server
    #[arg(long, env = "EMBEDDINGS_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub embeddings_api_key: Option<ApiKey>,
    /// The embedding model, which must be the one that products were embedded by
    #[arg(long, env = "EMBEDDING_MODEL", default_value = DEFAULT_MODEL, value_name = "NAME")]
    pub embedding_model: String,
    /// Milliseconds that a search waits for its vector; then it is answered by words alone
    #[arg(long, env = "QUERY_EMBEDDING_TIMEOUT_MS", default_value = "300", value_name = "MILLISECONDS")]
    pub embedding_timeout_ms: NonZeroU64,
    /// Searches whose vectors are kept in memory, about 2 kB each
    #[arg(long, env = "QUERY_EMBEDDING_CACHE", default_value_t = 10_000, value_name = "TEXTS")]
    pub embedding_cache: u64,
    /// The cosine from which on a product is near what is searched for, which depends on the model: by all-MiniLM-L6-v2
    /// codes and nonsense stay below 0.32, and what a shop has nothing like below 0.4
    #[arg(long, env = "QUERY_MIN_COSINE", default_value = "0.4", value_name = "COSINE", value_parser = cosine)]
    pub min_cosine: f32,
}

fn cosine(text: &str) -> Result<f32, String> {
    let number: Option<f32> = text.parse().ok();
    number.filter(|number| (-1.0..=1.0).contains(number)).ok_or_else(|| "a cosine is a number from -1 to 1".to_owned())
}

/// Gives texts' meanings. Clones share what they know of the service.
#[derive(Clone, Debug)]
pub struct Meanings {
    embedder: Embedder,
    breaker: Arc<Breaker>,
    min_cosine: f32,
}

impl Meanings {
    /// Whether the service answers is not asked.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn new(args: &MeaningArgs, metrics: EmbedderMetrics) -> Result<Self, ServerUrlError> {
        let time_limit = Duration::from_millis(args.embedding_timeout_ms.get());
        let (url, model, key) = (&args.embeddings_url, &args.embedding_model, args.embeddings_api_key.as_ref());
        let embedder = Embedder::of_server(url, model, key, args.embedding_cache, time_limit, metrics)?;
        Ok(Self { embedder, breaker: Arc::default(), min_cosine: args.min_cosine })
    }

    /// What a text means; none while the service is away: then nobody waits for it.
    pub async fn of(&self, text: &str) -> Option<Meaning> {
        match self.breaker.advice(Instant::now()) {
            Advice::Ask => self.ask(text, Advice::Ask).await,
            Advice::Avoid { .. } => None,
            Advice::Probe => {
                let (probing, text) = (self.clone(), text.to_owned());
                tokio::spawn(async move { probing.ask(&text, Advice::Probe).await });
                None
            }
        }
    }

    async fn ask(&self, text: &str, advice: Advice) -> Option<Meaning> {
        match self.embedder.embed(Purpose::Query, text).await {
            Ok(vector) => {
                if self.breaker.succeeded(advice, Instant::now()) {
                    info!("the embedding service answers again");
                }
                Some(Meaning { model: self.embedder.model().to_owned(), vector, min_cosine: self.min_cosine })
            }
            // The text is to blame, not the service.
            Err(EmbedError::Text(_)) => None,
            Err(error) => {
                if self.breaker.failed(advice, Instant::now()) {
                    warn!(error = %causes(&error), "the embedding service does not answer: searching by words alone");
                }
                None
            }
        }
    }
}
