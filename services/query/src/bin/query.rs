//! The query service as a program of its own.

use clap::Parser;
use query::QueryArgs;
use runtime::config::Connections;
use runtime::shutdown::Shutdown;
use runtime::telemetry::{LogFormat, init_logging};

/// Answers reads over HTTP: recommendations, search, analytics, and the pipeline's own state
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: QueryArgs,
    #[command(flatten, next_help_heading = "Servers and shop")]
    connections: Connections,
    /// How log lines look
    #[arg(long, env = "JANGBOGO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    init_logging("query", cli.log_format)?;
    let shutdown = Shutdown::on_signals()?;
    shutdown.spawn("query", query::run(cli.args, cli.connections, shutdown.token()));
    Ok(shutdown.drain().await?)
}
