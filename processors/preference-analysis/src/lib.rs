//! The processor `preference-analysis`: folds conversations and members' preferences, and analyses the intents of
//! messages.

pub mod intent;

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use jangbogo_embeddings_client::{EmbedderArgs, EmbedderMetrics, EmbedderPool};
use jangbogo_embeddings_server::encoder::{EncoderMetrics, FallbackArgs};
use jangbogo_fold::Processor;
use jangbogo_host::app::ProcessorApp;
use jangbogo_host::process::ProcessorArgs;
use jangbogo_language_model::{LanguageModel, LanguageModelMetrics, Settings};
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_preference_analysis_fold::PREFERENCE_ANALYSIS;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_telemetry::Telemetry;

use crate::intent::IntentReactor;

#[derive(Args, Clone, Debug)]
pub struct App {
    #[command(flatten)]
    process: ProcessorArgs,
    #[command(flatten)]
    language_model: Settings,
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    fallback: FallbackArgs,
}

impl ProcessorApp for App {
    const PROCESSOR: &'static Processor = &PREFERENCE_ANALYSIS;
    const REACTORS: &'static [&'static ReactorSpec] = &[&intent::SPEC];

    fn process_args(&self) -> &ProcessorArgs {
        &self.process
    }

    async fn reactors(
        self,
        connections: &Connections,
        telemetry: &Telemetry,
        _: &Shutdown,
    ) -> anyhow::Result<Vec<Arc<dyn Reactor>>> {
        let metrics = EmbedderMetrics::register(&telemetry.metrics, &[])?;
        let fallback = self.fallback.loader(EncoderMetrics::register(&telemetry.metrics, &[])?);
        let models = &self.fallback.encoder.models;
        let embedders = EmbedderPool::new(&self.embedder, models, connections, metrics, fallback)?;
        let metrics = LanguageModelMetrics::register(&telemetry.metrics, &[])?;
        let language_model = LanguageModel::new(&self.language_model, metrics);
        let language_model = language_model.context("the language model cannot be set up")?.map(Arc::new);
        Ok(vec![Arc::new(IntentReactor::new(embedders, language_model))])
    }
}
