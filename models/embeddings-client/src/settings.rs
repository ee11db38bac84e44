//! Settings of a client.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::Args;
use jangbogo_openai::ApiKey;

/// The settings of a client of the embedding service.
#[derive(Args, Clone, Debug)]
pub struct EmbedderArgs {
    /// Base URL of the embedding service, or of another OpenAI-compatible server (…/v1)
    #[arg(
        id = "embeddings-url",
        long,
        env = "EMBEDDINGS_URL",
        default_value = "http://127.0.0.1:8000/v1",
        value_name = "URL"
    )]
    pub url: String,
    /// Time limit of an embedding, all attempts included, in milliseconds
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
    #[command(flatten)]
    pub remote: RemoteArgs,
}

impl EmbedderArgs {
    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.get())
    }
}

/// Limits of requests to the server, and its key.
#[derive(Args, Clone, Debug)]
pub struct RemoteArgs {
    /// Key for the embeddings server
    #[arg(id = "embeddings-api-key", long, env = "EMBEDDINGS_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<ApiKey>,
    /// Maximum requests to the server in flight; further texts wait and are batched, up to 50 in a request
    #[arg(
        id = "embeddings-max-in-flight",
        long,
        env = "EMBEDDINGS_MAX_IN_FLIGHT",
        default_value = "4",
        value_parser = clap::value_parser!(u16).range(1..=1000),
        value_name = "REQUESTS"
    )]
    pub max_in_flight: u16,
    /// Maximum texts that wait for the server; more are rejected at once
    #[arg(
        id = "embeddings-max-waiting",
        long,
        env = "EMBEDDINGS_MAX_WAITING",
        default_value = "1000",
        value_parser = clap::value_parser!(u16).range(1..),
        value_name = "TEXTS"
    )]
    pub max_waiting: u16,
    /// Maximum attempts at a request, the first one included
    #[arg(
        id = "embeddings-attempts",
        long,
        env = "EMBEDDINGS_ATTEMPTS",
        default_value = "3",
        value_parser = clap::value_parser!(u32).range(1..=10),
        value_name = "ATTEMPTS"
    )]
    pub attempts: u32,
}

impl Default for RemoteArgs {
    /// The defaults of the command line.
    fn default() -> Self {
        Self { api_key: None, max_in_flight: 4, max_waiting: 1000, attempts: 3 }
    }
}
