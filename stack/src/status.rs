//! How the servers are.

use std::path::PathBuf;

use jangbogo_platform::servers::{Server, without_password};
use serde::Serialize;

use crate::probe;
use crate::state::Source;

/// Whether a server works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// It answers requests.
    Up,
    /// Its process or container runs, and does not answer yet.
    Starting,
    /// It does not run, or, if it is not ours, does not answer.
    Down,
}

impl ServerState {
    /// The lower-case name shown in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Down => "down",
        }
    }
}

/// How one server is.
#[derive(Clone, Debug, Serialize)]
pub struct ServerStatus {
    /// The server.
    pub server: Server,
    /// Where it answers, with `***` for a password.
    pub address: String,
    /// Where it comes from.
    pub source: Source,
    /// Whether it works.
    pub state: ServerState,
    /// Its version, as far as it is known.
    pub version: Option<String>,
    /// Its process, when it is native and runs.
    pub pid: Option<u32>,
    /// The memory that its processes hold, when it is native and runs.
    pub resident_bytes: Option<u64>,
    /// Its log, when it is native.
    pub log: Option<PathBuf>,
}

impl ServerStatus {
    /// Asks the server at `address`. `runs` tells whether its process or container does, where that is known.
    pub(crate) async fn ask(server: Server, address: &str, source: Source, runs: Option<bool>) -> Self {
        let answer = match runs {
            // Something else may have its port by now.
            Some(false) => None,
            _ => probe::ask(server, address).await.ok(),
        };
        let state = match (&answer, runs) {
            (Some(_), _) => ServerState::Up,
            (None, Some(true)) => ServerState::Starting,
            (None, _) => ServerState::Down,
        };
        Self {
            server,
            address: without_password(address),
            source,
            state,
            version: answer.and_then(|answer| answer.version),
            pid: None,
            resident_bytes: None,
            log: None,
        }
    }
}
