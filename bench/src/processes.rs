//! Processes under test.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Timeout of a process's shutdown.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Processes with their names, in the order of their start.
#[derive(Default)]
pub struct Processes(Vec<(&'static str, Child)>);

impl Processes {
    pub fn start(&mut self, name: &'static str, command: &mut Command) -> anyhow::Result<()> {
        self.0.push((name, command.spawn().with_context(|| format!("cannot start {name}"))?));
        Ok(())
    }

    /// Fails if a process has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.0.iter_mut().try_for_each(|(name, process)| ensure_running(name, process))
    }

    /// Stops all processes, the last one first; each must exit with 0.
    pub async fn stop(self) -> anyhow::Result<()> {
        for (name, process) in self.0.into_iter().rev() {
            stop(name, process).await?;
        }
        Ok(())
    }
}

/// Fails if the process has ended.
pub fn ensure_running(name: &str, process: &mut Child) -> anyhow::Result<()> {
    match process.try_wait()? {
        Some(status) => bail!("{name} ended with {status}; its log is above"),
        None => Ok(()),
    }
}

/// Sends SIGTERM to a process, which must exit with 0 within [`STOP_LIMIT`].
pub async fn stop(name: &str, mut process: Child) -> anyhow::Result<()> {
    let id = process.id().with_context(|| format!("{name} has ended"))?;
    let pid = Pid::from_raw(i32::try_from(id)?).context("a process id is 0")?;
    kill_process(pid, Signal::TERM)?;
    let exit = tokio::time::timeout(STOP_LIMIT, process.wait()).await;
    let status = exit.with_context(|| format!("the shutdown of {name} timed out"))?;
    let status = status.with_context(|| format!("cannot wait for {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

/// Peak resident memory of a process in KiB (`VmHWM`).
pub fn peak_memory_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// An address of this machine with a port that is free now; a race with other programs is unlikely.
pub fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.to_string())
}
