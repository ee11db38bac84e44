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
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An external server does not answer.
    #[error("{server} at {address} (from the environment) does not answer; start it, or unset {}", server.environment_variable())]
    NotAnswering { server: Server, address: String, source: ProbeError },
    #[error("the servers need programs that are not installed:\n{}", list(.0))]
    MissingTools(Vec<MissingTool>),
    /// A command that installs or prepares a server failed.
    #[error("{purpose}: `{command}` failed ({status}); its last lines:\n{output}")]
    Command { purpose: String, command: String, status: String, output: String },
    /// A downloaded file has another checksum than the pinned one.
    #[error("{} has the sha256 {found}, expected {expected} (stack/versions.toml); delete it from the client's cache and try again", file.display())]
    Checksum { file: PathBuf, expected: String, found: String },
    #[error("could not {action} {}", path.display())]
    File {
        /// The failed action: `read`, `write` …
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not a state file of this version; stop the servers it names and delete it", path.display())]
    State { path: PathBuf, source: serde_json::Error },
    #[error(
        "{server} cannot listen on 127.0.0.1:{port}: the port is in use; stop the other program, or choose another port"
    )]
    PortTaken { server: Server, port: u16 },
    /// A server ended after its start, or did not answer in time.
    #[error("{server} did not start: {reason}; the last lines of {}:\n{last_lines}", log.display())]
    DidNotStart { server: Server, reason: String, log: PathBuf, last_lines: String },
    #[error("{server} (process {pid}) is still running after SIGKILL")]
    DidNotStop { server: Server, pid: u32 },
    /// The operation needs a native server.
    #[error(
        "{server} is not run natively here ({source_name}); only such servers can be stopped or started one by one"
    )]
    NotNative { server: Server, source_name: &'static str },
    #[error("{server} (process {pid}) runs; stop it before its data is removed")]
    Runs { server: Server, pid: u32 },
    #[error(
        "the servers can be run natively on 64-bit Linux (x86 or ARM) only; start a Docker engine, or name servers in {}",
        variables()
    )]
    UnsupportedPlatform,
    #[error("no servers are provisioned in {}; run `jangbogo stack up`", .0.display())]
    NotProvisioned(PathBuf),
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    #[error("kafka metadata request failed")]
    Kafka(#[source] rdkafka::error::KafkaError),
    #[error("kafka answered with no broker")]
    NoBroker,
    #[error("postgres query failed")]
    Postgres(#[source] sqlx::Error),
    #[error("redis PING failed")]
    Redis(#[source] redis::RedisError),
    #[error("elasticsearch health request failed")]
    Elasticsearch(#[source] reqwest::Error),
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
}

/// A program that is missing, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingTool {
    pub program: &'static str,
    pub purpose: &'static str,
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
