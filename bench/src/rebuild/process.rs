//! Duration and memory of a contestant's process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};

use crate::processes::peak_memory_kib;

/// Polling interval of the memory and the exit status.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A process that exited with 0.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub took: Duration,
    /// Peak resident memory, child processes included, in KiB.
    pub peak_kib: u64,
}

/// Runs a program to its end; kills it after the limit.
pub async fn run(command: &mut Command, limit: Duration) -> anyhow::Result<Ended> {
    // A process group of its own, so that child processes can be killed too.
    command.process_group(0);
    let started = Instant::now();
    let mut child = command.spawn().context("cannot start it")?;
    let id = child.id().context("it has no id")?;
    let mut peaks = HashMap::new();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for it")? {
            let took = started.elapsed();
            ensure!(status.success(), "it ended with {status}; its output is above");
            return Ok(Ended { took, peak_kib: peaks.values().sum() });
        }
        if started.elapsed() > limit {
            kill(&mut child, id).await?;
            bail!("it was killed after {} s", limit.as_secs());
        }
        record_peaks(id, &mut peaks);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn kill(child: &mut Child, id: u32) -> anyhow::Result<()> {
    if let Some(group) = rustix::process::Pid::from_raw(i32::try_from(id)?) {
        // The group may be empty by now.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().await.context("cannot wait for it")?;
    Ok(())
}

/// Records the peaks of a process and its children. The peak of an ended process is kept.
fn record_peaks(id: u32, peaks: &mut HashMap<u32, u64>) {
    if let Some(peak) = peak_memory_kib(id) {
        peaks.insert(id, peak);
    }
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        record_peaks(child, peaks);
    }
}
