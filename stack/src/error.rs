//! Errors of provisioning.

use std::path::PathBuf;

use jangbogo_platform::running_stack::RunningStackError;
use jangbogo_platform::servers::{AddressError, Server};

/// The servers could not be started, inspected or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The stack directory or the given addresses cannot be determined.
    #[error(transparent)]
    Options(#[from] RunningStackError),
    /// An address in the environment has the wrong form.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An external server does not answer.
    #[error("{server} at {address} (from the environment) does not answer; start it, or unset {}", server.environment_variable())]
    NotAnswering {
        /// The server.
        server: Server,
        /// Its address, without its password.
        address: String,
        /// Error of the request.
        source: ProbeError,
    },
    /// Required programs are not installed.
    #[error("the servers need programs that are not installed:\n{}", list(.0))]
    MissingTools(Vec<MissingTool>),
    /// A command that installs or prepares a server failed.
    #[error("{purpose}: `{command}` failed ({status}); its last lines:\n{output}")]
    Command {
        /// Purpose of the command.
        purpose: String,
        /// The program and its first arguments.
        command: String,
        /// Exit status.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// A downloaded file has another checksum than the pinned one.
    #[error("{} has the sha256 {found}, expected {expected} (stack/versions.toml); delete it from the client's cache and try again", file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
        /// The pinned digest.
        expected: String,
        /// Its digest.
        found: String,
    },
    /// A file or directory could not be read or written.
    #[error("could not {action} {}", path.display())]
    File {
        /// The failed action: `read`, `write` …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The state file cannot be parsed.
    #[error("{} is not a state file of this version; stop the servers it names and delete it", path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// The JSON error.
        source: serde_json::Error,
    },
    /// A requested port is in use.
    #[error(
        "{server} cannot listen on 127.0.0.1:{port}: the port is in use; stop the other program, or choose another port"
    )]
    PortTaken {
        /// The server.
        server: Server,
        /// The port.
        port: u16,
    },
    /// A server ended after its start, or did not answer in time.
    #[error("{server} did not start: {reason}; the last lines of {}:\n{last_lines}", log.display())]
    DidNotStart {
        /// The server.
        server: Server,
        /// Exit status or timeout.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        last_lines: String,
    },
    /// A server did not end after SIGKILL.
    #[error("{server} (process {pid}) is still running after SIGKILL")]
    DidNotStop {
        /// The server.
        server: Server,
        /// Its process.
        pid: u32,
    },
    /// The operation needs a native server.
    #[error(
        "{server} is not run natively here ({source_name}); only such servers can be stopped or started one by one"
    )]
    NotNative {
        /// The server.
        server: Server,
        /// Its actual source.
        source_name: &'static str,
    },
    /// The data of a running server cannot be removed.
    #[error("{server} (process {pid}) runs; stop it before its data is removed")]
    Runs {
        /// The server.
        server: Server,
        /// Its process.
        pid: u32,
    },
    /// This machine cannot run the servers natively.
    #[error(
        "the servers can be run natively on 64-bit Linux (x86 or ARM) only; start a Docker engine, or name servers in {}",
        variables()
    )]
    UnsupportedPlatform,
    /// No servers were provisioned in this directory yet.
    #[error("no servers are provisioned in {}; run `jangbogo stack up`", .0.display())]
    NotProvisioned(PathBuf),
}

/// A probe of a server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// Kafka refused or did not answer.
    #[error("kafka metadata request failed")]
    Kafka(#[source] rdkafka::error::KafkaError),
    /// Kafka answered without a broker.
    #[error("kafka answered with no broker")]
    NoBroker,
    /// Postgres refused or did not answer.
    #[error("postgres query failed")]
    Postgres(#[source] sqlx::Error),
    /// Redis refused or did not answer.
    #[error("redis PING failed")]
    Redis(#[source] redis::RedisError),
    /// Elasticsearch refused or did not answer.
    #[error("elasticsearch health request failed")]
    Elasticsearch(#[source] reqwest::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
}

/// A program that is missing, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingTool {
    /// Its name on the PATH.
    pub program: &'static str,
    /// Purpose of the program.
    pub purpose: &'static str,
    /// Hint for the installation.
    pub remedy: &'static str,
}

fn list(tools: &[MissingTool]) -> String {
    let lines: Vec<String> =
        tools.iter().map(|tool| format!("  {} (for {}): {}", tool.program, tool.purpose, tool.remedy)).collect();
    lines.join("\n")
}

fn variables() -> String {
    Server::ALL.map(Server::environment_variable).join(", ")
}
