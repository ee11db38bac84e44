//! Finds the servers that `jangbogo stack up` runs, by the state file in the stack directory.
//!
//! Starting, installing and probing servers is the `jangbogo-stack` crate's; a program that only connects needs this.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Deserialize;

use crate::config::Connections;
use crate::servers::{AddressError, Server, parse_address};

/// The state file's name in the stack directory.
pub const STATE_FILE: &str = "state.json";
const DIRECTORY_VARIABLE: &str = "JANGBOGO_STACK_DIR";
const DIRECTORY_NAME: &str = ".stack";
/// A directory that holds one of these is the root of the project.
const ROOT_MARKS: [&str; 2] = ["topology.toml", "docker-compose.yml"];

/// The running stack's addresses could not be determined.
#[derive(Debug, thiserror::Error)]
pub enum RunningStackError {
    /// An address in the environment has the wrong form.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The stack directory cannot be found or its state file cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The state file is of another version.
    #[error("{} is not a state file of this version; stop the servers it names and delete it", path.display())]
    State { path: PathBuf, source: serde_json::Error },
}

/// The part of the state file that clients need.
#[derive(Debug, Deserialize)]
struct RunningStack {
    ports: BTreeMap<String, u16>,
    postgres_password: String,
}

/// Replaces the addresses that neither flag nor environment give by those of the running stack, if there is one.
///
/// # Errors
/// When an address in the environment has the wrong form, or the state file cannot be read.
pub fn with_running_stack(matches: &ArgMatches, connections: &Connections) -> Result<Connections, RunningStackError> {
    let mut connections = connections.clone();
    let explicit = given_addresses(matches, &connections)?;
    let is_complete = explicit.len() == Server::ALL.len();
    let stack = if is_complete { None } else { load(&directory()?)? };
    if stack.is_none() && !is_complete {
        return Ok(connections);
    }
    for server in Server::ALL {
        let address_of_stack = || {
            let RunningStack { ports, postgres_password } = stack.as_ref()?;
            let port = ports.get(server.name()).copied().unwrap_or(server.well_known_port());
            Some(local_address(server, port, postgres_password))
        };
        if let Some(address) = explicit.get(&server).cloned().or_else(address_of_stack) {
            *connection(&mut connections, server) = address;
        }
    }
    Ok(connections)
}

/// Addresses given by flag, or else by environment variable.
///
/// # Errors
/// When an address in the environment has the wrong form.
pub fn given_addresses(
    matches: &ArgMatches,
    connections: &Connections,
) -> Result<BTreeMap<Server, String>, AddressError> {
    let mut addresses = addresses_of_environment()?;
    for server in Server::ALL {
        if matches.value_source(server.name()) == Some(ValueSource::CommandLine) {
            addresses.insert(server, connection(&mut connections.clone(), server).clone());
        }
    }
    Ok(addresses)
}

/// Addresses given by `KAFKA_BOOTSTRAP_SERVERS`, `POSTGRES_URL`, `REDIS_URL` and `ELASTICSEARCH_URL`.
///
/// # Errors
/// When one has the wrong form.
pub fn addresses_of_environment() -> Result<BTreeMap<Server, String>, AddressError> {
    let mut addresses = BTreeMap::new();
    for server in Server::ALL {
        let value = std::env::var(server.environment_variable()).unwrap_or_default();
        if !value.trim().is_empty() {
            addresses.insert(server, parse_address(server, &value)?);
        }
    }
    Ok(addresses)
}

/// The stack directory: `JANGBOGO_STACK_DIR`, else `.stack` in the project's root, or in the current directory outside
/// of any project.
///
/// # Errors
/// When the current directory does not exist any more.
pub fn directory() -> Result<PathBuf, RunningStackError> {
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| RunningStackError::File { path, source }
    };
    let directory = match std::env::var_os(DIRECTORY_VARIABLE) {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        _ => default_directory(&std::env::current_dir().map_err(file_error(Path::new(".")))?),
    };
    std::path::absolute(&directory).map_err(file_error(&directory))
}

/// The address of a server that the stack runs on this machine.
#[must_use]
pub fn local_address(server: Server, port: u16, postgres_password: &str) -> String {
    match server {
        Server::Kafka => format!("127.0.0.1:{port}"),
        Server::Postgres => format!("postgres://jangbogo:{postgres_password}@127.0.0.1:{port}"),
        Server::Redis => format!("redis://127.0.0.1:{port}"),
        Server::Elasticsearch => format!("http://127.0.0.1:{port}"),
    }
}

fn load(directory: &Path) -> Result<Option<RunningStack>, RunningStackError> {
    let path = directory.join(STATE_FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RunningStackError::File { path, source }),
        Ok(text) => text,
    };
    serde_json::from_str(&text).map(Some).map_err(|source| RunningStackError::State { path, source })
}

fn connection(connections: &mut Connections, server: Server) -> &mut String {
    match server {
        Server::Kafka => &mut connections.kafka,
        Server::Postgres => &mut connections.postgres,
        Server::Redis => &mut connections.redis,
        Server::Elasticsearch => &mut connections.elasticsearch,
    }
}

fn default_directory(current: &Path) -> PathBuf {
    let is_root = |directory: &&Path| ROOT_MARKS.iter().any(|mark| directory.join(mark).is_file());
    current.ancestors().find(is_root).unwrap_or(current).join(DIRECTORY_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_directory_is_in_the_project_s_root() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(default_directory(&inner), inner.join(".stack"));
        std::fs::write(directory.path().join("topology.toml"), "").unwrap();
        assert_eq!(default_directory(&inner), directory.path().join(".stack"));
    }

    #[test]
    fn a_foreign_state_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(load(directory.path()).unwrap().is_none());
        std::fs::write(directory.path().join(STATE_FILE), "{\"ports\": 1}").unwrap();
        assert!(load(directory.path()).unwrap_err().to_string().contains(STATE_FILE));
    }
}
