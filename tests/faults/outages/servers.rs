//! Servers of the test's own, so that it can stop, kill, pause and wipe them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use jangbogo_stack::{Addresses, Options, Progress, Server, ServerSignal, Stack};
use jangbogo_test_support::jangbogo;
use tempfile::TempDir;

/// Ways for a server to become unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    Stop,
    Kill,
    /// SIGKILL and loss of its data.
    Lose,
    /// SIGSTOP, then SIGCONT: connections stay open without an answer.
    Pause,
}

/// Native servers in a directory of their own; stopped and removed on drop.
pub struct Servers {
    stack: Stack,
    directory: TempDir,
}

impl Servers {
    /// Starts all four beside the shared servers, from the same installation.
    pub async fn start() -> Self {
        Self::start_except(|_| BTreeMap::new()).await
    }

    /// Starts a Kafka of its own; the other three are the shared ones.
    pub async fn kafka_alone() -> Self {
        let others = |shared: &Addresses| {
            let Addresses { kafka: _, postgres, redis, elasticsearch } = shared.clone();
            [(Server::Postgres, postgres), (Server::Redis, redis), (Server::Elasticsearch, elasticsearch)].into()
        };
        Self::start_except(others).await
    }

    /// Starts all servers except the shared ones that `reused` returns.
    async fn start_except(reused: impl FnOnce(&Addresses) -> BTreeMap<Server, String>) -> Self {
        let shared = Stack::up(&Options::from_environment().unwrap(), &Progress::silent()).await.unwrap();
        // The user that runs the servers needs access.
        let readable = std::fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("outages").permissions(readable).tempdir().unwrap();
        let given = reused(shared.addresses());
        let options = Options { given, ..shared.options_beside(directory.path().to_owned()) };
        let stack = Stack::up(&options, &Progress::silent()).await.unwrap();
        Self { stack, directory }
    }

    pub fn addresses(&self) -> &Addresses {
        self.stack.addresses()
    }

    /// Makes a server unavailable for `wait` and the time of its start. Returns how long it was unavailable.
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
        eprintln!("{server} {outage:?}: unavailable for {:.1} s", began.elapsed().as_secs_f64());
        began.elapsed()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let mut down = jangbogo();
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
