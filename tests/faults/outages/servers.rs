//! Servers of the test's own, to be stopped, killed, paused and wiped.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jangbogo_stack::{Addresses, Options, Progress, Server, ServerSignal, Stack};
use tempfile::TempDir;

use crate::support::JANGBOGO;

/// How a server goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// As an operator stops it.
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGKILL, and its data are gone, too.
    Lose,
    /// SIGSTOP, and later SIGCONT: every connection stays open and none answers.
    Pause,
}

/// Native servers in a directory of their own; gone when this is dropped.
pub struct Servers {
    stack: Stack,
    directory: TempDir,
}

impl Servers {
    /// Starts all four beside those that the other tests use, from the same programs.
    pub async fn start() -> Self {
        Self::start_but(|_| BTreeMap::new()).await
    }

    /// Starts a Kafka; the other three are those that the other tests use.
    pub async fn kafka_alone() -> Self {
        let others = |shared: &Addresses| {
            let Addresses { kafka: _, postgres, redis, elasticsearch } = shared.clone();
            [(Server::Postgres, postgres), (Server::Redis, redis), (Server::Elasticsearch, elasticsearch)].into()
        };
        Self::start_but(others).await
    }

    /// Starts those that are not chosen from the ones that the other tests use.
    async fn start_but(given: impl FnOnce(&Addresses) -> BTreeMap<Server, String>) -> Self {
        let shared = Stack::up(&Options::from_environment().unwrap(), &Progress::silent()).await.unwrap();
        // The user that runs the servers has to get in.
        let readable = std::fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("outages").permissions(readable).tempdir().unwrap();
        let given = given(shared.addresses());
        let options = Options { given, ..shared.options_beside(directory.path().to_owned()) };
        let stack = Stack::up(&options, &Progress::silent()).await.unwrap();
        Self { stack, directory }
    }

    pub fn addresses(&self) -> &Addresses {
        self.stack.addresses()
    }

    /// Lets a server go away, for so long and as long as it then takes to start. Gives how long it did not serve.
    pub async fn strike(&self, server: Server, outage: Outage, wait: Duration) -> Duration {
        let began = Instant::now();
        let signal = match outage {
            Outage::Stop => ServerSignal::Stop,
            Outage::Kill | Outage::Lose => ServerSignal::Kill,
            Outage::Pause => ServerSignal::Pause,
        };
        self.stack.signal_server(server, signal).await.unwrap();
        if outage == Outage::Lose {
            self.stack.wipe_server(server).unwrap();
        }
        tokio::time::sleep(wait).await;
        if outage == Outage::Pause {
            self.stack.signal_server(server, ServerSignal::Resume).await.unwrap();
        } else {
            self.stack.start_server(server).await.unwrap();
        }
        eprintln!("{server} {outage:?}: away for {:.1} s", began.elapsed().as_secs_f64());
        began.elapsed()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let mut down = Command::new(std::env::var_os("CARGO_BIN_EXE_jangbogo").unwrap_or_else(|| JANGBOGO.into()));
        down.args(["stack", "down"]).env("JANGBOGO_STACK_DIR", self.directory.path()).stdout(Stdio::null());
        for server in Server::ALL {
            down.env_remove(server.environment_variable());
        }
        if let Ok(status) = down.status()
            && !status.success()
        {
            eprintln!("the servers in {} were not stopped: {status}", self.directory.path().display());
        }
    }
}
