//! `replay dead-letters`: lists, shows, requeues and discards the records that processors refused.

mod decide;
mod find;
mod print;
mod produce;
mod select;

use clap::Subcommand;
use jangbogo_platform::config::Connections;

/// Lists, shows, requeues or discards the records that processors refused
#[derive(Debug, Subcommand)]
pub enum Command {
    List(print::ListArguments),
    Show(print::ShowArguments),
    Requeue(decide::RequeueArguments),
    Discard(decide::DiscardArguments),
}

pub async fn run(command: Command, connections: &Connections) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => print::list(&arguments, connections).await,
        Command::Show(arguments) => print::show(&arguments, connections).await,
        Command::Requeue(arguments) => decide::requeue(&arguments, connections).await,
        Command::Discard(arguments) => decide::discard(&arguments, connections).await,
    }
}
