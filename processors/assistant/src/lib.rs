//! The processor `assistant`: folds conversations, and replies to messages with the products that were recommended.

mod reply;

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_fold::Processor;
use jangbogo_host::app::ProcessorApp;
use jangbogo_host::process::ProcessorArgs;
use jangbogo_language_model::{LanguageModel, LanguageModelMetrics, Settings};
use jangbogo_platform::config::Connections;
use jangbogo_platform::reply_chunks::ReplyChunks;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_telemetry::Telemetry;

use crate::reply::ReplyReactor;
pub use crate::reply::{ground_reply, template_reply};

#[derive(Args, Clone, Debug)]
pub struct App {
    #[command(flatten)]
    process: ProcessorArgs,
    #[command(flatten)]
    language_model: Settings,
}

impl ProcessorApp for App {
    const PROCESSOR: &'static Processor = &ASSISTANT;
    const REACTORS: &'static [&'static ReactorSpec] = &[&reply::SPEC];

    fn process_args(&self) -> &ProcessorArgs {
        &self.process
    }

    async fn reactors(
        self,
        connections: &Connections,
        telemetry: &Telemetry,
        _: &Shutdown,
    ) -> anyhow::Result<Vec<Arc<dyn Reactor>>> {
        let metrics = LanguageModelMetrics::register(&telemetry.metrics, &[])?;
        let language_model = LanguageModel::new(&self.language_model, metrics);
        let language_model = language_model.context("the language model cannot be set up")?.map(Arc::new);
        let reply_chunks = ReplyChunks::new(connections).context("the Redis URL is invalid")?;
        Ok(vec![Arc::new(ReplyReactor::new(language_model, reply_chunks))])
    }
}
