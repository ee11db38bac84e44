//! The outbox dispatcher as a program of its own.

use clap::Parser;
use gateway::dispatcher::{self, DispatcherArgs};
use runtime::config::Connections;
use runtime::shutdown::Shutdown;
use runtime::telemetry::{LogFormat, init_logging};

/// Relays the outbox to Kafka; of several, one at a time
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: DispatcherArgs,
    #[command(flatten)]
    connections: Connections,
    /// How log lines look
    #[arg(long, env = "JANGBOGO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    init_logging("outbox-dispatcher", cli.log_format)?;
    let shutdown = Shutdown::on_signals()?;
    shutdown.spawn("outbox-dispatcher", dispatcher::run(cli.args, cli.connections, shutdown.token()));
    Ok(shutdown.drain().await?)
}
