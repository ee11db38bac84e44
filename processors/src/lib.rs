//! The processors as programs: each binary says which processor it is, the rest is the same for all.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use runtime::config::Connections;
use runtime::fold::Processor;
use runtime::process::{self, ProcessorArgs};
use runtime::shutdown::Shutdown;
use runtime::telemetry::{LogFormat, causes, init_logging};

/// What a processor's binary is told.
#[derive(Parser, Clone, Debug)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    processor: ProcessorArgs,
    #[command(flatten, next_help_heading = "Servers and shop")]
    connections: Connections,
    /// How log lines look
    #[arg(long, env = "JANGBOGO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// The `main` of a processor's binary: reads its arguments, runs until SIGINT or SIGTERM, and says why if it failed.
#[must_use]
pub fn main(processor: &'static Processor) -> ExitCode {
    let matches = Arguments::command().name(processor.name).about(about(processor)).get_matches();
    let outcome =
        Arguments::from_arg_matches(&matches).map_err(Into::into).and_then(|arguments| run(processor, arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {}", processor.name, causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// What a processor is for, with the topics it reads.
#[must_use]
pub fn about(processor: &Processor) -> String {
    let topics: Vec<&str> = processor.topics().into_iter().map(events::Topic::name).collect();
    format!("Folds {} into {}", topics.join(", "), processor.description)
}

#[tokio::main]
async fn run(processor: &'static Processor, arguments: Arguments) -> anyhow::Result<()> {
    init_logging(processor.name, arguments.log_format)?;
    let shutdown = Shutdown::on_signals()?;
    process::run(processor, arguments.connections, arguments.processor, shutdown).await?;
    Ok(())
}
