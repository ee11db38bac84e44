//! The processor `analytics`: sales, purchase patterns and the conversation funnel; it announces changed patterns.

mod pattern;

use std::sync::Arc;

use clap::Args;
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_fold::Processor;
use jangbogo_host::app::ProcessorApp;
use jangbogo_host::process::ProcessorArgs;
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_telemetry::Telemetry;

use crate::pattern::PatternReactor;

/// The settings of `analytics`.
#[derive(Args, Clone, Debug)]
pub struct App {
    #[command(flatten)]
    process: ProcessorArgs,
}

impl ProcessorApp for App {
    const PROCESSOR: &'static Processor = &ANALYTICS;
    const REACTORS: &'static [&'static ReactorSpec] = &[&pattern::SPEC];

    fn process_args(&self) -> &ProcessorArgs {
        &self.process
    }

    async fn reactors(self, _: &Connections, _: &Telemetry, _: &Shutdown) -> anyhow::Result<Vec<Arc<dyn Reactor>>> {
        Ok(vec![Arc::new(PatternReactor)])
    }
}
