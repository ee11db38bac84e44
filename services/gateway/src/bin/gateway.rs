//! The gateway as a program of its own.

use clap::Parser;
use gateway::GatewayArgs;
use runtime::config::Connections;
use runtime::shutdown::Shutdown;
use runtime::telemetry::{LogFormat, init_logging};

/// Takes commands over HTTP and puts their events into the outbox
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: GatewayArgs,
    #[command(flatten)]
    connections: Connections,
    /// How log lines look
    #[arg(long, env = "JANGBOGO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    init_logging("gateway", cli.log_format)?;
    let shutdown = Shutdown::on_signals()?;
    shutdown.spawn("gateway", gateway::run(cli.args, cli.connections, shutdown.token()));
    Ok(shutdown.drain().await?)
}
