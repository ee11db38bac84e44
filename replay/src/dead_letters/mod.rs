//! `replay dead-letters`: records that processors refused, looked at, sent through the front door again or given up.

mod decide;
mod find;
mod print;
mod produce;
mod select;

use clap::Subcommand;
use jangbogo_platform::config::Connections;

/// Shows the records that processors refused; sends them again, or gives them up
#[derive(Debug, Subcommand)]
pub enum Command {
    List(print::ListArguments),
    Show(print::ShowArguments),
    Requeue(decide::RequeueArguments),
    Discard(decide::DiscardArguments),
}

/// Runs a command.
///
/// # Errors
/// Says what the command could not do.
pub async fn run(command: Command, connections: &Connections) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => print::list(&arguments, connections).await,
        Command::Show(arguments) => print::show(&arguments, connections).await,
        Command::Requeue(arguments) => decide::requeue(&arguments, connections).await,
        Command::Discard(arguments) => decide::discard(&arguments, connections).await,
    }
}
