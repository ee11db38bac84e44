//! What each processor hosts besides its projections.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use embedding::client::{Embedder, EmbedderArgs, EmbedderMetrics, Embedders, PATIENCE};
use embedding::encoder::{Encoder, EncoderArgs, EncoderMetrics};
use embedding::service::{self, ServiceArgs, ServiceMetrics};
use language_model::{LanguageModel, LanguageModelMetrics, Settings};
use projections::{ANALYTICS, ASSISTANT, EMBEDDER, ES_SYNC, PREFERENCE_ANALYSIS, RECOMMENDATION};
use ranking::Weights;
use reactors::embed::Embed;
use reactors::intent::Analyse;
use reactors::pattern::Announce;
use reactors::ranked::Rank;
use reactors::reply::Reply;
use runtime::config::{Connections, DEFAULT_EMBEDDING_MODEL};
use runtime::database;
use runtime::fold::Processor;
use runtime::pieces::Pieces;
use runtime::process::{self, Hosted, ProcessorArgs};
use runtime::reactor::Reactor;
use runtime::read::{ReadMetrics, Reader};
use runtime::retry::Backoff;
use runtime::shutdown::Shutdown;
use runtime::store::live_embedding_models;
use runtime::telemetry::{Telemetry, causes, routes};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::Hosting;

/// Connections with which the ranking reads what was published.
const READER_CONNECTIONS: u32 = 4;

/// What folds and publishes alone.
async fn fold(
    processor: &'static Processor,
    connections: Connections,
    args: ProcessorArgs,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    run(processor, Vec::new(), (connections, args), Telemetry::new()?, shutdown).await
}

async fn run(
    processor: &'static Processor,
    reactors: Vec<Arc<dyn Reactor>>,
    (connections, args): (Connections, ProcessorArgs),
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    Ok(process::run(Hosted { processor, reactors }, connections, args, telemetry, shutdown).await?)
}

/// Sales, purchase patterns and the funnel.
#[derive(Args, Clone, Debug)]
pub struct AnalyticsHost {
    #[command(flatten)]
    process: ProcessorArgs,
}

impl Hosting for AnalyticsHost {
    const PROCESSOR: &'static Processor = &ANALYTICS;

    async fn run(self, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
        if self.process.fold_only {
            return fold(Self::PROCESSOR, connections, self.process, shutdown).await;
        }
        run(Self::PROCESSOR, vec![Arc::new(Announce)], (connections, self.process), Telemetry::new()?, shutdown).await
    }
}

/// Documents to search.
#[derive(Args, Clone, Debug)]
pub struct EsSyncHost {
    #[command(flatten)]
    process: ProcessorArgs,
}

impl Hosting for EsSyncHost {
    const PROCESSOR: &'static Processor = &ES_SYNC;

    async fn run(self, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
        fold(Self::PROCESSOR, connections, self.process, shutdown).await
    }
}

/// Similar, popular and trending products, and rankings.
#[derive(Args, Clone, Debug)]
pub struct RecommendationHost {
    #[command(flatten)]
    process: ProcessorArgs,
    /// How much content, collaboration and intent count in a ranking: three numbers, made to sum to 1
    #[arg(
        long,
        env = "RANKING_WEIGHTS",
        default_value = "0.30,0.30,0.40",
        value_name = "CONTENT,COLLABORATIVE,INTENT"
    )]
    weights: Weights,
}

impl Hosting for RecommendationHost {
    const PROCESSOR: &'static Processor = &RECOMMENDATION;

    async fn run(self, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
        if self.process.fold_only {
            return fold(Self::PROCESSOR, connections, self.process, shutdown).await;
        }
        let telemetry = Telemetry::new()?;
        let metrics = ReadMetrics::register(&telemetry.metrics, &[])?;
        let reader = Arc::new(Reader::new(&connections, "recommendation-ranking", READER_CONNECTIONS, metrics)?);
        let rank = Rank::new(reader, self.weights);
        run(Self::PROCESSOR, vec![Arc::new(rank)], (connections, self.process), telemetry, shutdown).await
    }
}

/// What messages say, and what members like.
#[derive(Args, Clone, Debug)]
pub struct PreferenceAnalysisHost {
    #[command(flatten)]
    process: ProcessorArgs,
    #[command(flatten)]
    language_model: Settings,
    #[command(flatten)]
    embedder: EmbedderArgs,
}

impl Hosting for PreferenceAnalysisHost {
    const PROCESSOR: &'static Processor = &PREFERENCE_ANALYSIS;

    async fn run(self, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
        if self.process.fold_only {
            return fold(Self::PROCESSOR, connections, self.process, shutdown).await;
        }
        let telemetry = Telemetry::new()?;
        let Self { process, language_model, embedder } = self;
        let metrics = EmbedderMetrics::register(&telemetry.metrics, &[])?;
        let encoder_metrics = EncoderMetrics::register(&telemetry.metrics, &[])?;
        let embedders = Embedders::new(&embedder, &connections, metrics, encoder_metrics)?;
        let language_model = open_language_model(&language_model, &telemetry)?;
        let analyse = Analyse::new(Some(embedders), language_model);
        run(Self::PROCESSOR, vec![Arc::new(analyse)], (connections, process), telemetry, shutdown).await
    }
}

/// Vectors.
#[derive(Args, Clone, Debug)]
pub struct EmbedderHost {
    #[command(flatten)]
    process: ProcessorArgs,
    /// Where the embedding service listens
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

impl Hosting for EmbedderHost {
    const PROCESSOR: &'static Processor = &EMBEDDER;

    async fn run(self, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
        if self.process.fold_only {
            return fold(Self::PROCESSOR, connections, self.process, shutdown).await;
        }
        let telemetry = Telemetry::new()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another --listen", self.listen))?;
        let Some(models) = shutdown.token().run_until_cancelled(embedding_models(&connections)).await else {
            return Ok(shutdown.drain().await?);
        };
        let metrics = EncoderMetrics::register(&telemetry.metrics, &[])?;
        let embedder_metrics = EmbedderMetrics::register(&telemetry.metrics, &[])?;
        let (mut encoders, mut reactors): (Vec<Encoder>, Vec<Arc<dyn Reactor>>) = (Vec::new(), Vec::new());
        for model in &models? {
            let encoder = Encoder::load(&self.encoder, model, metrics.clone()).await?;
            let patient = encoder.clone().patient();
            let embedder = Embedder::of_encoder(patient, self.cache, PATIENCE, embedder_metrics.clone());
            reactors.push(Arc::new(Embed::new(embedder)));
            encoders.push(encoder);
        }
        let metrics = ServiceMetrics::register(&telemetry.metrics, &[])?;
        let router = service::router(encoders, self.service, metrics).merge(routes(telemetry.clone()));
        info!(address = %listener.local_addr()?, "embedder: /embed /batch-embed /similarity /v1/embeddings /stats");
        let stop = shutdown.token();
        shutdown.spawn("embedding service", async move {
            axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
        });
        run(Self::PROCESSOR, reactors, (connections, self.process), telemetry, shutdown).await
    }
}

/// The model by which products are to be embedded, then those of live generations that have another: they go on being served
/// until others take their places. Waits for Postgres as long as it takes.
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
            Err(error) => warn!(error = %causes(&error), "waiting for postgres, which says what models are in use"),
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

/// Answers.
#[derive(Args, Clone, Debug)]
pub struct AssistantHost {
    #[command(flatten)]
    process: ProcessorArgs,
    #[command(flatten)]
    language_model: Settings,
}

impl Hosting for AssistantHost {
    const PROCESSOR: &'static Processor = &ASSISTANT;

    async fn run(self, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
        if self.process.fold_only {
            return fold(Self::PROCESSOR, connections, self.process, shutdown).await;
        }
        let telemetry = Telemetry::new()?;
        let language_model = open_language_model(&self.language_model, &telemetry)?;
        let pieces = Pieces::new(&connections).context("the address of redis cannot be read")?;
        let reply = Reply::new(language_model, pieces);
        run(Self::PROCESSOR, vec![Arc::new(reply)], (connections, self.process), telemetry, shutdown).await
    }
}

fn open_language_model(settings: &Settings, telemetry: &Telemetry) -> anyhow::Result<Option<Arc<LanguageModel>>> {
    let metrics = LanguageModelMetrics::register(&telemetry.metrics, &[])?;
    let language_model = LanguageModel::new(settings, metrics).context("the language model cannot be set up")?;
    if language_model.is_none() {
        info!("no language model is configured: local analyser and writer");
    }
    Ok(language_model.map(Arc::new))
}
