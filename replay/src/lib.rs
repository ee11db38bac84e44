//! Rebuilds projections from the log while the shop stays open. Links no reactor: a replay repeats no side effect.

mod dead_letters;
mod transfer;

use clap::Subcommand;
use runtime::config::Connections;

/// Rebuilds projections from the log, proves them equal, and switches between generations
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a doc here would be shown in place of the command's own")]
pub enum Command {
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    Export(transfer::ExportArguments),
    Import(transfer::ImportArguments),
}

/// Runs a command.
///
/// # Errors
/// Says what the command could not do.
pub async fn run(command: Command, connections: Connections) -> anyhow::Result<()> {
    match command {
        Command::DeadLetters(command) => dead_letters::run(command, &connections).await,
        Command::Export(arguments) => transfer::export(arguments, connections).await,
        Command::Import(arguments) => transfer::import(arguments, connections).await,
    }
}
