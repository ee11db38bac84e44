//! The `replay` command: the same as `jangbogo replay`, without the rest of the pipeline.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use jangbogo_platform::program::{Shared, exit_code};
use jangbogo_platform::running_stack::with_running_stack;
use jangbogo_replay::Command;
use jangbogo_telemetry::{LevelFilter, init_logging};

/// Memory that one thread frees is allocated by another: with the system's allocator usage grows with the log.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rebuilds projections from the log while the shop stays open
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let run = async {
        init_logging("replay", LevelFilter::WARN, cli.shared.log_format)?;
        cli.shared.connections.vector_index.check()?;
        let connections = with_running_stack(&matches, &cli.shared.connections)?;
        jangbogo_replay::run(cli.command, connections).await
    };
    exit_code("replay", run.await)
}
