//! Embeddings of search queries, from the embedding service. Without one a search goes by words alone.

use std::num::NonZeroU64;

use clap::Args;
use jangbogo_embedding::Purpose;
use jangbogo_embedding::registry::{ModelsArgs, cosine};
use jangbogo_embeddings_client::{EmbedderArgs, EmbedderError, EmbedderMetrics, EmbedderPool, RemoteArgs};
use jangbogo_platform::config::{Connections, DEFAULT_EMBEDDING_MODEL};
use jangbogo_ranking_store::search::Meaning;
use jangbogo_store::Generation;
use jangbogo_telemetry::causes;
use tracing::{debug, warn};

/// Settings of the embedding service's client. The searched generation names the model.
#[derive(Args, Clone, Debug)]
pub struct MeaningArgs {
    /// Base URL of the embedding service, or of another OpenAI-compatible server (…/v1)
    #[arg(long, env = "EMBEDDINGS_URL", default_value = "http://127.0.0.1:8000/v1", value_name = "URL")]
    pub embeddings_url: String,
    /// Time limit of a search's embedding, in milliseconds; after it the search goes by words alone
    #[arg(long, env = "QUERY_EMBEDDING_TIMEOUT_MS", default_value = "300", value_name = "MILLISECONDS")]
    pub embedding_timeout_ms: NonZeroU64,
    /// Searches whose embeddings are kept in memory, about 2 kB each
    #[arg(long, env = "QUERY_EMBEDDING_CACHE", default_value_t = 10_000, value_name = "TEXTS")]
    pub embedding_cache: u64,
    #[command(flatten)]
    pub remote: RemoteArgs,
    #[command(flatten)]
    pub models: ModelsArgs,
    /// The cosine from which on a product counts as similar to a search [default: the model's own]
    #[arg(long, env = "QUERY_MIN_COSINE", value_name = "COSINE", value_parser = cosine)]
    pub min_cosine: Option<f32>,
}

/// Similarity threshold of a model that is not in the registry.
const MIN_COSINE: f32 = 0.4;

/// Embeds search queries. Clones share the client.
#[derive(Clone, Debug)]
pub struct QueryEmbedder {
    embedders: EmbedderPool,
    min_cosine: Option<f32>,
}

impl QueryEmbedder {
    /// Connects lazily: starts without the service.
    pub fn new(args: &MeaningArgs, connections: &Connections, metrics: EmbedderMetrics) -> Result<Self, EmbedderError> {
        let MeaningArgs { embeddings_url, embedding_timeout_ms, embedding_cache, remote, models, min_cosine } = args;
        let embedder = EmbedderArgs {
            url: embeddings_url.clone(),
            timeout_ms: *embedding_timeout_ms,
            cache: *embedding_cache,
            remote: remote.clone(),
        };
        let embedders = EmbedderPool::new(&embedder, models, connections, metrics, None)?;
        Ok(Self { embedders, min_cosine: *min_cosine })
    }

    /// The embedding of a search query by the model of the searched generation; none if there is none in time.
    pub async fn embed(&self, text: &str, generation: &Generation) -> Option<Meaning> {
        let model = generation.embedding_model.as_deref().unwrap_or(DEFAULT_EMBEDDING_MODEL);
        let embedder =
            self.embedders.for_model(model).inspect_err(|error| warn!(error = %causes(error), "no embedder")).ok()?;
        match embedder.embed(Purpose::Query, text).await {
            Ok(vector) => {
                let min_cosine = self.min_cosine.or(embedder.similarity_threshold()).unwrap_or(MIN_COSINE);
                Some(Meaning { model: model.to_owned(), vector, min_cosine })
            }
            // The client has logged an outage, once.
            Err(error) => {
                debug!(error = %causes(&error), "embedding unavailable, searching by words alone");
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
    async fn an_unavailable_service_delays_no_search() {
        // Redis is unreachable. One service is unreachable, another accepts connections and never answers.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for address in [free, silent.local_addr().unwrap()] {
            let (redis, url) = (format!("--redis=redis://{free}"), format!("--embeddings-url=http://{address}/v1"));
            let program = Program::parse_from(["query", &redis, &url, "--embedding-timeout-ms=1000"]);
            let metrics = EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
            let Program { connections, meaning } = program;
            let query_embedder = QueryEmbedder::new(&meaning, &connections, metrics).unwrap();
            let generation = Generation {
                processor: "es-sync".to_owned(),
                id: uuid::Uuid::nil(),
                schema: "none".to_owned(),
                fold_version: "1/UTC".to_owned(),
                embedding_model: None,
            };
            let began = Instant::now();
            for _ in 0..20 {
                assert!(query_embedder.embed("tote", &generation).await.is_none());
            }
            assert!(began.elapsed() < Duration::from_secs(8), "a time-out for each: {:?}", began.elapsed());
        }
    }
}
