//! Status of the servers.

use std::path::PathBuf;

use jangbogo_platform::servers::{Server, without_password};
use serde::Serialize;

use crate::probe;
use crate::state::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// The server answers requests.
    Up,
    /// Its process or container runs but does not answer yet.
    Starting,
    /// It does not run or, if external, does not answer.
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

#[derive(Clone, Debug, Serialize)]
pub struct ServerStatus {
    pub server: Server,
    /// Address, with `***` for a password.
    pub address: String,
    pub source: Source,
    pub state: ServerState,
    pub version: Option<String>,
    /// Process id of a running native server.
    pub pid: Option<u32>,
    /// Resident memory of a running native server's processes.
    pub resident_bytes: Option<u64>,
    /// Log file of a native server.
    pub log: Option<PathBuf>,
}

impl ServerStatus {
    /// Probes the server at `address`. `runs` is the state of its process or container, if known.
    pub(crate) async fn probe(server: Server, address: &str, source: Source, runs: Option<bool>) -> Self {
        let version = match runs {
            // Another program may use its port by now.
            Some(false) => None,
            _ => probe::probe(server, address).await.ok(),
        };
        let state = match (&version, runs) {
            (Some(_), _) => ServerState::Up,
            (None, Some(true)) => ServerState::Starting,
            (None, _) => ServerState::Down,
        };
        Self {
            server,
            address: without_password(address),
            source,
            state,
            version: version.flatten(),
            pid: None,
            resident_bytes: None,
            log: None,
        }
    }
}
