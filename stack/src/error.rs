//! What can go wrong while servers are provisioned.

use std::path::PathBuf;

use jangbogo_platform::running_stack::RunningStackError;
use jangbogo_platform::servers::{AddressError, Server};

/// Why the servers could not be brought up, looked at or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The stack directory or the given addresses cannot be determined.
    #[error(transparent)]
    Options(#[from] RunningStackError),
    /// An address in the environment has the wrong form.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A server named by the environment does not answer.
    #[error("{server} at {address} (from the environment) does not answer; start it, or unset {}", server.environment_variable())]
    NotAnswering {
        /// The server.
        server: Server,
        /// Its address, without its password.
        address: String,
        /// What the request ended with.
        source: ProbeError,
    },
    /// Programs that are needed are not on this machine.
    #[error("the servers need programs that are not here:\n{}", list(.0))]
    MissingTools(Vec<MissingTool>),
    /// A program that was started to install or prepare something failed.
    #[error("{purpose}: `{command}` failed ({status}); its last lines:\n{output}")]
    Command {
        /// What it was for.
        purpose: String,
        /// The program and its first arguments.
        command: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// A fetched file is not the one that was pinned.
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
        /// What was tried: `read`, `write` …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The state file cannot be understood.
    #[error("{} is not a state file of this version; stop the servers it names and delete it", path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A port that was asked for is taken.
    #[error("{server} cannot listen on 127.0.0.1:{port}: something else does; stop that, or choose another port")]
    PortTaken {
        /// The server.
        server: Server,
        /// The port.
        port: u16,
    },
    /// A server was started and ended, or never answered.
    #[error("{server} did not come up: {reason}; the last lines of {}:\n{last_lines}", log.display())]
    DidNotStart {
        /// The server.
        server: Server,
        /// How that showed.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        last_lines: String,
    },
    /// A server did not end although it was killed.
    #[error("{server} (process {pid}) is still there after SIGKILL")]
    DidNotStop {
        /// The server.
        server: Server,
        /// Its process.
        pid: u32,
    },
    /// An operation on a process of ours was asked for a server that is not one.
    #[error(
        "{server} is not run natively here ({source_name}); only such servers can be stopped or started one by one"
    )]
    NotNative {
        /// The server.
        server: Server,
        /// Where it comes from instead.
        source_name: &'static str,
    },
    /// A server's data was to be removed under it.
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

/// What a request to a server ended with.
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
    /// What it is for.
    pub purpose: &'static str,
    /// How to install it.
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
