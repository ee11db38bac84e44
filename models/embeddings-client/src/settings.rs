//! Whom a client asks, and how much of it.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jangbogo_embeddings_server::encoder::EncoderArgs;
use jangbogo_openai::ApiKey;

/// The settings of a client.
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
    /// Milliseconds that an embedding may take, with all attempts; then there is none
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
    /// How the server is asked.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// How a model in this process is computed.
    #[command(flatten)]
    pub encoder: EncoderArgs,
}

impl EmbedderArgs {
    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.get())
    }
}

/// How a server is asked, and what stands in for it.
#[derive(Args, Clone, Debug)]
pub struct RemoteArgs {
    /// Key for the embeddings server
    #[arg(id = "embeddings-api-key", long, env = "EMBEDDINGS_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<ApiKey>,
    /// What gives embeddings while the server does not
    #[arg(
        id = "embeddings-fallback",
        long,
        env = "EMBEDDINGS_FALLBACK",
        value_enum,
        default_value_t,
        value_name = "FALLBACK"
    )]
    pub fallback: Fallback,
    /// Requests to the server in flight; texts that come meanwhile wait, and go together, up to 50 in a request
    #[arg(
        id = "embeddings-max-in-flight",
        long,
        env = "EMBEDDINGS_MAX_IN_FLIGHT",
        default_value = "4",
        value_parser = clap::value_parser!(u16).range(1..=1000),
        value_name = "REQUESTS"
    )]
    pub max_in_flight: u16,
    /// Texts that may wait for the server; more are refused at once
    #[arg(
        id = "embeddings-max-waiting",
        long,
        env = "EMBEDDINGS_MAX_WAITING",
        default_value = "1000",
        value_parser = clap::value_parser!(u16).range(1..),
        value_name = "TEXTS"
    )]
    pub max_waiting: u16,
    /// Attempts at a request, the first one included
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
    /// Those of the command line without a flag or a variable.
    fn default() -> Self {
        Self { api_key: None, fallback: Fallback::default(), max_in_flight: 4, max_waiting: 1000, attempts: 3 }
    }
}

/// What gives vectors while the server does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fallback {
    /// Nothing
    None,
    /// The same model, loaded into this process for as long as the server is away; its files must be there
    #[default]
    InProcess,
}
