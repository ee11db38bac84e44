//! Rebuilds projections from the log while the shop stays open. Links no reactor: a replay repeats no side effect.

use clap::Subcommand;
use runtime::config::Connections;

/// Rebuilds projections from the log, proves them equal, and switches between generations
#[derive(Debug, Subcommand)]
pub enum Command {}

/// Runs a command.
///
/// # Errors
/// Says what the command could not do.
#[expect(clippy::unused_async, reason = "the commands to come wait for servers")]
pub async fn run(command: Command, _connections: Connections) -> anyhow::Result<()> {
    match command {}
}
