//! Rebuilds projections from the log while the shop stays open. Links no reactor: a replay repeats no side effect.

mod await_vectors;
mod catch_up;
mod commands;
pub mod compare;
mod context;
mod cut_over;
mod dead_letters;
mod error;
pub mod folder;
mod hydrate;
mod open;
mod projection_replay;
mod throttle;
mod transfer;
mod verify;

use clap::Subcommand;
use futures::future::LocalBoxFuture;
use jangbogo_platform::config::Connections;

/// Rebuilds projections from the log, compares them with the live ones, and switches between generations
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a doc here would be shown in place of the command's own")]
pub enum Command {
    Rebuild(commands::RebuildArguments),
    Verify(commands::VerifyArguments),
    At(commands::AtArguments),
    /// Serves a generation that is complete and not live
    Promote(commands::ServeArguments),
    /// Serves the generation that was live before
    Rollback(commands::ServeArguments),
    Drop(commands::DropArguments),
    List(commands::ListArguments),
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    Export(transfer::ExportArguments),
    Import(transfer::ImportArguments),
}

/// Runs a command.
///
/// # Errors
/// When the command fails; the message says which projection, server or file is concerned.
#[must_use = "the future does nothing until it is polled"]
pub fn run(command: Command, connections: Connections) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    // Boxed: the future is compiled once, here, and not in every program that polls it.
    Box::pin(async move {
        match command {
            Command::Rebuild(arguments) => commands::rebuild(&arguments, &connections).await,
            Command::Verify(arguments) => commands::verify(&arguments, &connections).await,
            Command::At(arguments) => commands::at(&arguments, &connections).await,
            Command::Promote(arguments) => commands::promote(&arguments, &connections).await,
            Command::Rollback(arguments) => commands::rollback(&arguments, &connections).await,
            Command::Drop(arguments) => commands::drop(&arguments, &connections).await,
            Command::List(arguments) => commands::list(&arguments, &connections).await,
            Command::DeadLetters(command) => dead_letters::run(command, &connections).await,
            Command::Export(arguments) => transfer::export(arguments, connections).await,
            Command::Import(arguments) => transfer::import(arguments, connections).await,
        }
    })
}
