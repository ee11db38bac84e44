//! The processor `embedder`: embeds products' texts, and serves embeddings to other programs.

mod embed;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use jangbogo_embedder_fold::EMBEDDER;
use jangbogo_embeddings_client::{Embedder, EmbedderMetrics, LOW_PRIORITY_TIMEOUT};
use jangbogo_embeddings_server::encoder::{Encoder, EncoderArgs, EncoderMetrics};
use jangbogo_embeddings_server::service::{self, ServiceArgs, ServiceMetrics};
use jangbogo_fold::Processor;
use jangbogo_host::app::ProcessorApp;
use jangbogo_host::process::ProcessorArgs;
use jangbogo_http::admin::routes;
use jangbogo_http::serve::listen;
use jangbogo_platform::config::{Connections, DEFAULT_EMBEDDING_MODEL};
use jangbogo_platform::database;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::live_embedding_models;
use jangbogo_telemetry::{Telemetry, causes};
use tracing::{info, warn};

use crate::embed::EmbedReactor;

#[derive(Args, Clone, Debug)]
pub struct App {
    #[command(flatten)]
    process: ProcessorArgs,
    /// Address that the embedding service listens on
    #[arg(long, env = "EMBEDDER_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Products' texts whose embeddings are kept in memory, about 2 kB each
    #[arg(id = "embedder-cache", long, env = "EMBEDDER_CACHE", default_value_t = 10_000, value_name = "TEXTS")]
    cache: u64,
    #[command(flatten)]
    encoder: EncoderArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

impl ProcessorApp for App {
    const PROCESSOR: &'static Processor = &EMBEDDER;
    const REACTORS: &'static [&'static ReactorSpec] = &[&embed::SPEC];

    fn process_args(&self) -> &ProcessorArgs {
        &self.process
    }

    async fn reactors(
        self,
        connections: &Connections,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Vec<Arc<dyn Reactor>>> {
        let listener = listen(self.listen).await?;
        let Some(models) = shutdown.token().run_until_cancelled(embedding_models(connections)).await else {
            return Ok(Vec::new());
        };
        let metrics = EncoderMetrics::register(&telemetry.metrics, &[])?;
        let embedder_metrics = EmbedderMetrics::register(&telemetry.metrics, &[])?;
        let (mut encoders, mut reactors): (Vec<Encoder>, Vec<Arc<dyn Reactor>>) = (Vec::new(), Vec::new());
        for model in &models? {
            let encoder = Encoder::load(&self.encoder, model, metrics.clone()).await?;
            let local_model = Arc::new(encoder.clone().low_priority());
            let embedder =
                Embedder::for_local_model(local_model, self.cache, LOW_PRIORITY_TIMEOUT, embedder_metrics.clone());
            reactors.push(Arc::new(EmbedReactor::new(embedder)));
            encoders.push(encoder);
        }
        let metrics = ServiceMetrics::register(&telemetry.metrics, &[])?;
        let router = service::router(encoders, self.service, metrics).merge(routes(telemetry.clone()));
        info!(address = %listener.local_addr()?, "embedder: /embed /batch-embed /similarity /v1/embeddings /stats");
        let stop = shutdown.token();
        shutdown.spawn("embedding service", async move {
            axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
        });
        Ok(reactors)
    }
}

/// The configured model, then the models of live generations, which are served until those are replaced. Retries until
/// Postgres is available.
async fn embedding_models(connections: &Connections) -> anyhow::Result<Vec<String>> {
    let pool = database::pool(connections, EMBEDDER.name, 1)?;
    let live = async || {
        database::migrate(connections).await?;
        live_embedding_models(&mut *pool.acquire().await?).await
    };
    let mut backoff = Backoff::default();
    let live = loop {
        match live().await {
            Ok(live) => break live,
            Err(error) => {
                warn!(error = %causes(&error), "postgres unavailable: waiting to read the embedding models in use");
            }
        }
        backoff.wait().await;
    };
    pool.close().await;
    let mut models: Vec<String> = connections.embedding_model.iter().cloned().chain(live.into_values()).collect();
    if models.is_empty() {
        models.push(DEFAULT_EMBEDDING_MODEL.to_owned());
    }
    let mut seen = BTreeSet::new();
    models.retain(|model| seen.insert(model.clone()));
    Ok(models)
}
