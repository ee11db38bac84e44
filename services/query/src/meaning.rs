//! What words mean: their vectors, from the embedding service, or in its place from the same model in this process.

use std::num::NonZeroU64;

use clap::Args;
use embedding::Purpose;
use embedding::client::{Embedder, EmbedderArgs, EmbedderError, EmbedderMetrics, RemoteArgs};
use embedding::encoder::{EncoderArgs, EncoderMetrics};
use ranking::search::Meaning;
use runtime::config::Connections;
use runtime::telemetry::causes;
use tracing::debug;

/// The embedding service and its model, which must be the one that products were embedded by.
#[derive(Args, Clone, Debug)]
pub struct MeaningArgs {
    /// Base URL of the embedding service, or of another OpenAI-compatible server (…/v1)
    #[arg(long, env = "EMBEDDINGS_URL", default_value = "http://127.0.0.1:8000/v1", value_name = "URL")]
    pub embeddings_url: String,
    /// Milliseconds that a search waits for its vector; then it is answered by words alone
    #[arg(long, env = "QUERY_EMBEDDING_TIMEOUT_MS", default_value = "300", value_name = "MILLISECONDS")]
    pub embedding_timeout_ms: NonZeroU64,
    /// Searches whose vectors are kept in memory, about 2 kB each
    #[arg(long, env = "QUERY_EMBEDDING_CACHE", default_value_t = 10_000, value_name = "TEXTS")]
    pub embedding_cache: u64,
    /// How the service is asked.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// The model, by this name at the service and in this process.
    #[command(flatten)]
    pub encoder: EncoderArgs,
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
    min_cosine: f32,
}

impl Meanings {
    /// Whether the service answers is not asked.
    ///
    /// # Errors
    /// When its address or key cannot be used.
    pub fn new(
        args: &MeaningArgs,
        connections: &Connections,
        metrics: EmbedderMetrics,
        encoder_metrics: EncoderMetrics,
    ) -> Result<Self, EmbedderError> {
        let MeaningArgs { embeddings_url, embedding_timeout_ms, embedding_cache, remote, encoder, min_cosine } = args;
        let embedder = EmbedderArgs {
            url: Some(embeddings_url.clone()),
            timeout_ms: *embedding_timeout_ms,
            cache: *embedding_cache,
            remote: remote.clone(),
            encoder: encoder.clone(),
        };
        let embedder = Embedder::of_server(embeddings_url, &embedder, Some(connections), metrics, encoder_metrics)?;
        Ok(Self { embedder, min_cosine: *min_cosine })
    }

    /// What a text means; none while nobody says so in time: then it is searched by words alone.
    pub async fn of(&self, text: &str) -> Option<Meaning> {
        match self.embedder.embed(Purpose::Query, text).await {
            Ok(vector) => {
                Some(Meaning { model: self.embedder.model().to_owned(), vector, min_cosine: self.min_cosine })
            }
            // An outage has been told by then, once.
            Err(error) => {
                debug!(error = %causes(&error), "searched by words alone");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use clap::Parser;
    use runtime::telemetry::Metrics;
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        connections: Connections,
        #[command(flatten)]
        meaning: MeaningArgs,
    }

    #[tokio::test]
    async fn while_the_service_is_away_nobody_waits() {
        // Nobody listens where Redis should be. One service is not there, another is silent.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for address in [free, silent.local_addr().unwrap()] {
            let (redis, url) = (format!("--redis=redis://{free}"), format!("--embeddings-url=http://{address}/v1"));
            let limits = ["--embedding-timeout-ms=1000", "--embeddings-fallback=none"];
            let program = Program::parse_from(["query", &redis, &url].into_iter().chain(limits));
            let metrics = Metrics::new().unwrap();
            let embedder_metrics = EmbedderMetrics::register(&metrics, &[]).unwrap();
            let encoder_metrics = EncoderMetrics::register(&metrics, &[]).unwrap();
            let Program { connections, meaning } = program;
            let meanings = Meanings::new(&meaning, &connections, embedder_metrics, encoder_metrics).unwrap();
            let began = Instant::now();
            for _ in 0..20 {
                assert!(meanings.of("tote").await.is_none());
            }
            assert!(began.elapsed() < Duration::from_secs(8), "a time-out for each: {:?}", began.elapsed());
        }
    }
}
