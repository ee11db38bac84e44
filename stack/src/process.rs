//! Processes of the native servers: finds, starts, signals and measures them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jangbogo_platform::servers::Server;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::error::StackError;
use crate::files::FileErrors;
use crate::user::User;

const LOG_ROTATED_ABOVE_BYTES: u64 = 16 * 1024 * 1024;

/// Identifies a server's process by its command line. Process ids are not saved, because they are reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The file name of the program.
    pub program: &'static str,
    /// An argument with a path of this stack directory.
    pub argument: String,
}

impl Fingerprint {
    fn matches(&self, command_line: &[u8]) -> bool {
        let mut words = command_line.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        let file_name = program.rsplit(|byte| *byte == b'/').next();
        file_name == Some(self.program.as_bytes()) && words.any(|word| word == self.argument.as_bytes())
    }
}

/// A running process, distinguished from a later one with the same id by its start time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: u32,
    /// Clock ticks between the machine's start and the process's.
    start_ticks: u64,
}

impl Process {
    /// The process with this fingerprint. Of several, the oldest: the others are forks that have not renamed themselves
    /// yet.
    pub(crate) fn find(fingerprint: &Fingerprint) -> Option<Self> {
        let matching = all_pids().filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command_line| fingerprint.matches(&command_line))
        });
        matching.filter_map(Self::living).min_by_key(|process| (process.start_ticks, process.pid))
    }

    fn living(pid: u32) -> Option<Self> {
        let (state, start_ticks) = state_and_start(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, start_ticks })
    }

    fn is_alive(&self) -> bool {
        Self::living(self.pid).as_ref() == Some(self)
    }

    /// The memory that the process and its children hold, shared pages counted once.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let (mut private, mut shared) = (0, 0);
        for pid in family(self.pid) {
            let (resident, of_it_shared) = resident_and_shared(pid).unwrap_or_default();
            private += resident.saturating_sub(of_it_shared);
            shared = shared.max(of_it_shared);
        }
        private + shared
    }

    /// Sends `signal` to the process itself.
    fn signal(&self, signal: Signal) {
        if self.is_alive() {
            send(self.pid, signal);
        }
    }

    /// Sends `signal` to the process and all its children.
    pub(crate) fn signal_family(&self, signal: Signal) {
        if self.is_alive() {
            for pid in family(self.pid) {
                send(pid, signal);
            }
        }
    }

    /// Waits until the process has ended; false when it has not after `limit`.
    async fn wait_until_gone(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Ends the process: `signal`, then SIGKILL to it and its children after `grace`.
    pub(crate) async fn stop(&self, server: Server, signal: Signal, grace: Duration) -> Result<(), StackError> {
        self.signal(signal);
        // A suspended process does not handle the signal before it is resumed.
        self.signal_family(Signal::CONT);
        if self.wait_until_gone(grace).await {
            return Ok(());
        }
        tracing::warn!(server = server.name(), pid = self.pid, "killed after its grace period");
        self.kill(server).await
    }

    /// Ends the process and its children with SIGKILL; none is left when this returns.
    pub(crate) async fn kill(&self, server: Server) -> Result<(), StackError> {
        const LIMIT: Duration = Duration::from_secs(2);
        let members: Vec<Self> = family(self.pid).into_iter().filter_map(Self::living).collect();
        self.signal_family(Signal::KILL);
        for member in members {
            if !member.wait_until_gone(LIMIT).await {
                return Err(StackError::DidNotStop { server, pid: member.pid });
            }
        }
        Ok(())
    }
}

/// True if a process has `directory` as its working directory.
pub(crate) fn any_works_in(directory: &Path) -> bool {
    all_pids().any(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|it| it == directory))
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended in between.
        let _ = kill_process(pid, signal);
    }
}

/// The state letter and start of a process, from `/proc/<pid>/stat`.
fn state_and_start(pid: u32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, start_ticks))
}

fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn resident_and_shared(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status_field(&status, "VmRSS:")?;
    let shared = status_field(&status, "RssShmem:")?;
    Some((resident * 1024, shared * 1024))
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `pid` and all its living descendants.
fn family(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for child in all_pids() {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let parent = status_field(&status, "PPid:").and_then(|pid| u32::try_from(pid).ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![pid];
    let mut visited = 0;
    while let Some(parent) = found.get(visited) {
        found.extend(children.remove(parent).unwrap_or_default());
        visited += 1;
    }
    found
}

/// Command that starts a server.
#[derive(Debug)]
pub(crate) struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    pub working_directory: PathBuf,
    /// True if the program exits with 0 once the server runs in the background.
    pub ends_when_started: bool,
}

impl Launch {
    /// Starts the server in a session of its own, so that no signal of the caller's terminal reaches it.
    pub(crate) fn spawn(&self, user: Option<&User>, log: &Path) -> Result<Child, StackError> {
        let output = open_log(log)?;
        let errors = output.try_clone().or_file_error("open", log)?;
        let mut command = Command::new("setsid");
        command
            .arg(&self.program)
            .args(&self.arguments)
            // The caller's environment may hold secrets, such as keys of other services.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.working_directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if let Some(user) = user {
            user.own(log)?;
            user.apply_to(&mut command);
        }
        command.spawn().or_file_error("start", &self.program)
    }
}

fn open_log(log: &Path) -> Result<File, StackError> {
    if std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > LOG_ROTATED_ABOVE_BYTES) {
        let previous = log.with_added_extension("1");
        std::fs::rename(log, &previous).or_file_error("rename", log)?;
    }
    File::options().create(true).append(true).open(log).or_file_error("open", log)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[tokio::test]
    async fn a_process_is_found_by_program_and_argument() {
        let marker = "61.234";
        let mut child = Command::new("sleep").arg(marker).kill_on_drop(true).spawn().unwrap();
        let fingerprint = |program, argument: &str| Fingerprint { program, argument: argument.to_owned() };
        let began = Instant::now();
        let process = loop {
            // A process has no command line at the very beginning.
            if let Some(process) = Process::find(&fingerprint("sleep", marker)) {
                break process;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "not found");
        };
        assert_eq!(Some(process.pid), child.id());
        assert!(process.is_alive());
        assert!(process.resident_bytes() > 0);
        assert_eq!(Process::find(&fingerprint("postgres", marker)), None);
        assert_eq!(Process::find(&fingerprint("sleep", "61.23")), None);
        let earlier_owner_of_the_number = Process { start_ticks: process.start_ticks - 1, pid: process.pid };
        assert!(!earlier_owner_of_the_number.is_alive());
        child.kill().await.unwrap();
        assert!(!process.is_alive());
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_signal_is_killed_with_its_children() {
        let script = "trap '' TERM; sleep 60 & while true; do sleep 1; done";
        let mut child = Command::new("sh").args(["-c", script]).kill_on_drop(true).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let process = Process::living(child.id().unwrap()).unwrap();
        let members = family(process.pid);
        assert!(members.len() >= 3, "{members:?}");
        let grace = Duration::from_millis(200);
        let stop = process.stop(Server::Redis, Signal::TERM, grace);
        let (stopped, _) = tokio::join!(stop, child.wait());
        stopped.unwrap();
        assert!(!process.is_alive());
        for member in members {
            assert_eq!(Process::living(member), None, "{member} is still there");
        }
    }

    #[tokio::test]
    async fn a_paused_process_can_be_stopped() {
        let mut child = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        let process = Process::living(child.id().unwrap()).unwrap();
        process.signal_family(Signal::STOP);
        let grace = Duration::from_secs(5);
        let stop = process.stop(Server::Redis, Signal::TERM, grace);
        let (stopped, status) = tokio::join!(stop, child.wait());
        stopped.unwrap();
        assert_eq!(status.unwrap().signal(), Some(15));
    }
}
