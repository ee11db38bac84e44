//! The processor `recommendation`: histories, co-purchase and popularity; it ranks products for what a message asks
//! for.

mod ranking;

use std::sync::Arc;

use clap::Args;
use jangbogo_fold::Processor;
use jangbogo_host::app::ProcessorApp;
use jangbogo_host::process::ProcessorArgs;
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_ranking::Weights;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_read::{ReadMetrics, Reader};
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_telemetry::Telemetry;

use crate::ranking::RankingReactor;

/// Postgres connections with which the ranking reads published views.
const READER_CONNECTIONS: u32 = 4;

/// The settings of `recommendation`.
#[derive(Args, Clone, Debug)]
pub struct App {
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

impl ProcessorApp for App {
    const PROCESSOR: &'static Processor = &RECOMMENDATION;
    const REACTORS: &'static [&'static ReactorSpec] = &[&ranking::SPEC];

    fn process_args(&self) -> &ProcessorArgs {
        &self.process
    }

    async fn reactors(
        self,
        connections: &Connections,
        telemetry: &Telemetry,
        _: &Shutdown,
    ) -> anyhow::Result<Vec<Arc<dyn Reactor>>> {
        let metrics = ReadMetrics::register(&telemetry.metrics, &[])?;
        let reader = Arc::new(Reader::new(connections, "recommendation-ranking", READER_CONNECTIONS, metrics)?);
        Ok(vec![Arc::new(RankingReactor::new(reader, self.weights))])
    }
}
