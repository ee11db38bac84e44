//! Which servers a command talks to: those given by flag or environment, else those that `jangbogo stack up` runs, else
//! the usual ports of this machine.

use clap::ArgMatches;
use clap::parser::ValueSource;
use jangbogo_platform::config::Connections;

use crate::{Options, Server, Stack, StackError};

/// What the flags and the environment say about the servers that the stack may run.
///
/// # Errors
/// When an address in the environment is not of its form.
pub fn stack_options(matches: &ArgMatches, connections: &Connections) -> Result<Options, StackError> {
    let mut options = Options::from_environment()?;
    for server in Server::ALL {
        if matches.value_source(server.name()) == Some(ValueSource::CommandLine) {
            options.given.insert(server, address(connections, server).clone());
        }
    }
    Ok(options)
}

/// Fills in the addresses that neither flag nor environment give with those of the stack, if there is one.
///
/// # Errors
/// When an address in the environment is not of its form, or the stack's state cannot be read.
pub fn with_stack(matches: &ArgMatches, connections: &Connections) -> Result<Connections, StackError> {
    let mut connections = connections.clone();
    let Some(addresses) = Stack::known_addresses(&stack_options(matches, &connections)?)? else {
        return Ok(connections);
    };
    connections.kafka = addresses.kafka;
    connections.postgres = addresses.postgres;
    connections.redis = addresses.redis;
    connections.elasticsearch = addresses.elasticsearch;
    Ok(connections)
}

fn address(connections: &Connections, server: Server) -> &String {
    match server {
        Server::Kafka => &connections.kafka,
        Server::Postgres => &connections.postgres,
        Server::Redis => &connections.redis,
        Server::Elasticsearch => &connections.elasticsearch,
    }
}
