//! The demo's processes: this program again, once per part of the pipeline.

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

/// Timeout between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// Number of log lines shown when a process ends unexpectedly.
const LOG_LINES: usize = 15;

pub struct Process {
    pub name: &'static str,
    /// Address of `/readyz` and of the service.
    pub address: String,
    /// Path of the log file.
    pub log: PathBuf,
    child: Child,
}

/// Port of the embedding service, if it is free.
const EMBEDDER_PORT: u16 = 8000;

#[derive(Default)]
pub struct Processes {
    running: Vec<Process>,
    /// Environment variables besides the servers' addresses.
    variables: Vec<(&'static str, String)>,
}

impl Processes {
    /// Starts every processor, the dispatcher, the gateway and the query service.
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
            // By environment, because arguments with passwords show in the process list.
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
            // Ctrl-C reaches only the demo, which stops them.
            .process_group(0);
        let child =
            Command::from(command).kill_on_drop(true).spawn().with_context(|| format!("cannot start {name}"))?;
        self.running.push(Process { name, address, log, child });
        Ok(())
    }

    pub fn all(&self) -> &[Process] {
        &self.running
    }

    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        self.running.iter().map(|process| (process.name, process.address.clone())).collect()
    }

    /// Waits until a process ends unexpectedly. Returns a message with the end of its log.
    pub async fn first_to_end(&mut self) -> String {
        loop {
            for Process { name, log, child, .. } in &mut self.running {
                if let Ok(Some(status)) = child.try_wait() {
                    return format!("{name} ended with {status}; the end of {}:\n{}", log.display(), last_lines(log));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Sends SIGTERM to all, and SIGKILL to those that do not end in time.
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

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// The port if it is free, else any free one.
fn port_near(port: u16) -> anyhow::Result<u16> {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() { Ok(port) } else { free_port() }
}

fn last_lines(log: &Path) -> String {
    let Ok(file) = File::open(log) else { return String::new() };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
