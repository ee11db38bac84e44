//! The `replay` command: the same as `jangbogo replay`, without the rest of the pipeline.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use replay::Command;
use runtime::config::Connections;
use runtime::telemetry::{LevelFilter, LogFormat, causes, init_logging};

/// Rebuilds projections from the log while the shop stays open
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
struct Cli {
    #[command(flatten, next_help_heading = "Servers and shop")]
    connections: Connections,
    /// How log lines look
    #[arg(
        long,
        env = "JANGBOGO_LOG_FORMAT",
        value_enum,
        default_value_t,
        global = true,
        help_heading = "Servers and shop"
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let run = async {
        init_logging("replay", LevelFilter::WARN, cli.log_format)?;
        let connections = stack::connections::with_stack(&matches, &cli.connections)?;
        replay::run(cli.command, connections).await
    };
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {}", causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
