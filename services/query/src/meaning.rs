//! What words mean: their vectors, from the embedding service, or in its place from the same model in this process.

use std::num::NonZeroU64;

use clap::Args;
use jangbogo_embedding::Purpose;
use jangbogo_embedding::registry::cosine;
use jangbogo_embeddings_client::{EmbedderArgs, EmbedderError, EmbedderMetrics, Embedders, RemoteArgs};
use jangbogo_embeddings_server::encoder::{EncoderArgs, EncoderMetrics};
use jangbogo_platform::config::{Connections, DEFAULT_EMBEDDING_MODEL};
use jangbogo_ranking_store::search::Meaning;
use jangbogo_store::Generation;
use jangbogo_telemetry::causes;
use tracing::{debug, warn};

/// The embedding service. Which of its models is asked is the searched generation's.
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
    /// How a model in this process is computed.
    #[command(flatten)]
    pub encoder: EncoderArgs,
    /// The cosine from which on a product is near what is searched for [default: the model's own]
    #[arg(long, env = "QUERY_MIN_COSINE", value_name = "COSINE", value_parser = cosine)]
    pub min_cosine: Option<f32>,
}

/// From which cosine on a text is near, by a model that is not known here.
const MIN_COSINE: f32 = 0.4;

/// Gives texts' meanings. Clones share what they know of the service.
#[derive(Clone, Debug)]
pub struct Meanings {
    embedders: Embedders,
    min_cosine: Option<f32>,
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
            url: embeddings_url.clone(),
            timeout_ms: *embedding_timeout_ms,
            cache: *embedding_cache,
            remote: remote.clone(),
            encoder: encoder.clone(),
        };
        let embedders = Embedders::new(&embedder, connections, metrics, encoder_metrics)?;
        Ok(Self { embedders, min_cosine: *min_cosine })
    }

    /// What a text means by the model of the generation that is searched; none while nobody says so in time: then it is
    /// searched by words alone.
    pub async fn of(&self, text: &str, generation: &Generation) -> Option<Meaning> {
        let model = generation.embedding_model.as_deref().unwrap_or(DEFAULT_EMBEDDING_MODEL);
        let embedder =
            self.embedders.of(model).inspect_err(|error| warn!(error = %causes(error), "no embedder")).ok()?;
        match embedder.embed(Purpose::Query, text).await {
            Ok(vector) => {
                let min_cosine = self.min_cosine.or(embedder.similarity_threshold()).unwrap_or(MIN_COSINE);
                Some(Meaning { model: model.to_owned(), vector, min_cosine })
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
    use jangbogo_telemetry::Metrics;
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
            let generation = Generation {
                processor: "es-sync".to_owned(),
                id: uuid::Uuid::nil(),
                schema: "none".to_owned(),
                fold_version: "1/UTC".to_owned(),
                embedding_model: None,
            };
            let began = Instant::now();
            for _ in 0..20 {
                assert!(meanings.of("tote", &generation).await.is_none());
            }
            assert!(began.elapsed() < Duration::from_secs(8), "a time-out for each: {:?}", began.elapsed());
        }
    }
}
