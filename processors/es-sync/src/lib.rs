//! The processor `es-sync`: publishes the catalogue and members' messages to Elasticsearch. It has no reactor.

use std::sync::Arc;

use clap::Args;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_fold::Processor;
use jangbogo_host::app::ProcessorApp;
use jangbogo_host::process::ProcessorArgs;
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_telemetry::Telemetry;

#[derive(Args, Clone, Debug)]
pub struct App {
    #[command(flatten)]
    process: ProcessorArgs,
}

impl ProcessorApp for App {
    const PROCESSOR: &'static Processor = &ES_SYNC;
    const REACTORS: &'static [&'static ReactorSpec] = &[];

    fn process_args(&self) -> &ProcessorArgs {
        &self.process
    }

    async fn reactors(self, _: &Connections, _: &Telemetry, _: &Shutdown) -> anyhow::Result<Vec<Arc<dyn Reactor>>> {
        Ok(Vec::new())
    }
}
