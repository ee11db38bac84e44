//! The demo's processes: this program again, once for each part of the pipeline.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use jangbogo_platform::config::Connections;
use tokio::process::{Child, Command};

use super::Arguments;
use crate::run::ENDS_WITH_PARENT;

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// As many lines of a log are shown when its process ends unasked.
const LOG_LINES: usize = 15;

/// One process of the demo.
pub struct Process {
    /// What it runs.
    pub name: &'static str,
    /// Where `/readyz` answers, and what else it serves.
    pub address: String,
    /// What it logs.
    pub log: PathBuf,
    child: Child,
}

/// Where the embedding service answers, unless somebody else does.
const EMBEDDER_PORT: u16 = 8000;

/// All of them.
#[derive(Default)]
pub struct Processes {
    running: Vec<Process>,
    /// What they find in their environment besides the servers' addresses.
    variables: Vec<(&'static str, String)>,
}

impl Processes {
    /// Starts every processor, the dispatcher, the gateway and the query service.
    ///
    /// # Errors
    /// When a log cannot be written or a process cannot be started.
    pub async fn start(&mut self, logs: &Path, connections: &Connections, arguments: &Arguments) -> anyhow::Result<()> {
        tokio::fs::create_dir_all(logs).await.with_context(|| format!("cannot create {}", logs.display()))?;
        let embedder = format!("127.0.0.1:{}", port_near(EMBEDDER_PORT)?);
        self.variables =
            vec![("EMBEDDER_LISTEN", embedder.clone()), ("EMBEDDINGS_URL", format!("http://{embedder}/v1"))];
        self.variables.extend(connections.embedding_model.iter().map(|model| ("EMBEDDING_MODEL", model.clone())));
        self.variables.extend(connections.vector_index.variables());
        for processor in jangbogo_processors::PROCESSORS {
            let port = free_port()?.to_string();
            let arguments = ["--instance", "demo", "--admin-port", &port];
            self.start_one(logs, connections, processor.name, &arguments, format!("127.0.0.1:{port}"))?;
        }
        let port = free_port()?.to_string();
        let dispatcher = ["--admin-port", &port];
        self.start_one(logs, connections, "outbox-dispatcher", &dispatcher, format!("127.0.0.1:{port}"))?;
        for (name, address) in [("gateway", arguments.gateway), ("query", arguments.query)] {
            let listen = address.to_string();
            self.start_one(logs, connections, name, &["--listen", &listen], listen.clone())?;
        }
        Ok(())
    }

    fn start_one(
        &mut self,
        logs: &Path,
        connections: &Connections,
        name: &'static str,
        arguments: &[&str],
        address: String,
    ) -> anyhow::Result<()> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command
            .args(["run", name])
            .args(arguments)
            // By environment: a password has no place in a process list.
            .env("KAFKA_BOOTSTRAP_SERVERS", &connections.kafka)
            .env("POSTGRES_URL", &connections.postgres)
            .env("REDIS_URL", &connections.redis)
            .env("ELASTICSEARCH_URL", &connections.elasticsearch)
            .env("JANGBOGO_NAMESPACE", connections.namespace.to_string())
            .env("JANGBOGO_TIME_ZONE", connections.time_zone.name())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env(ENDS_WITH_PARENT, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C is the demo's to pass on.
            .process_group(0);
        let child =
            Command::from(command).kill_on_drop(true).spawn().with_context(|| format!("cannot start {name}"))?;
        self.running.push(Process { name, address, log, child });
        Ok(())
    }

    /// Each of them.
    pub fn all(&self) -> &[Process] {
        &self.running
    }

    /// Name and address of each.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        self.running.iter().map(|process| (process.name, process.address.clone())).collect()
    }

    /// Waits until a process ends that was not asked to, and says which, and what it said.
    pub async fn first_to_end(&mut self) -> String {
        loop {
            for Process { name, log, child, .. } in &mut self.running {
                if let Ok(Some(status)) = child.try_wait() {
                    return format!("{name} ended with {status}; {} says:\n{}", log.display(), last_lines(log));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// SIGTERM to all at once; SIGKILL to those that do not end.
    pub async fn stop(mut self) {
        for process in &self.running {
            if let Some(pid) =
                process.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
            {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let ending = async {
            for process in &mut self.running {
                let _ = process.child.wait().await;
            }
        };
        if tokio::time::timeout(GRACE, ending).await.is_err() {
            eprintln!("not every process ended within {GRACE:?}: the rest is killed");
        }
    }
}

/// A port that nobody listens on now.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// This port if it is free, else any.
fn port_near(port: u16) -> anyhow::Result<u16> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() { Ok(port) } else { free_port() }
}

fn last_lines(log: &Path) -> String {
    let Ok(file) = File::open(log) else { return String::new() };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
