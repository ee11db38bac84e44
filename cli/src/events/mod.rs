//! `jangbogo events`: the events' schemas, and producing, importing and showing events.

pub mod import;
mod produce;
mod producer;
mod schemas;
mod tail;

use clap::Subcommand;
use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;

/// Produces, imports and shows events, and writes their schemas
#[derive(Debug, Subcommand)]
pub enum Command {
    Produce(produce::ProduceArguments),
    Import(import::ImportArguments),
    Tail(tail::TailArguments),
    Schemas(schemas::SchemasArguments),
}

pub async fn run(command: Command, connections: &Connections) -> anyhow::Result<()> {
    match command {
        Command::Produce(arguments) => produce::run(arguments, connections).await,
        Command::Import(arguments) => import::run(&arguments, connections).await,
        Command::Tail(arguments) => tail::run(arguments, connections).await,
        Command::Schemas(arguments) => schemas::run(&arguments),
    }
}

fn parse_topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        format!("there is no such topic; there are: {}", names.join(", "))
    })
}
