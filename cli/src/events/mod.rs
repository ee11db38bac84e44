//! `jangbogo events`: the events' schemas, and producing, importing and showing events.

pub mod import;
mod produce;
mod producer;
mod schemas;
mod tail;

use clap::Subcommand;
use jangbogo_events::{DecodeError, Event, Record, Topic};
use jangbogo_platform::config::Connections;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

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

/// Decodes a record of one of the log's topics.
pub fn decode(topic: Topic, message: &BorrowedMessage<'_>) -> Result<Event, DecodeError> {
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
        .unwrap_or_default();
    Event::decode(Record { topic, headers: &headers, value: message.payload().unwrap_or_default() })
}

fn parse_topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        format!("there is no such topic; there are: {}", names.join(", "))
    })
}
