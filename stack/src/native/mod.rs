//! Servers as native processes, installed below the stack directory.

mod elasticsearch;
mod kafka;
mod postgres;
mod redis;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::redis::RedisError;
use jangbogo_platform::progress::Progress;
use jangbogo_platform::running_stack;
use jangbogo_platform::servers::Server;
use rustix::process::Signal;
use tokio::process::Child;

use crate::error::{ProbeError, StackError};
use crate::layout::Layout;
use crate::ports::Listener;
use crate::process::{Fingerprint, Process};
use crate::user::User;
use crate::versions::VERSIONS;
use crate::{files, probe, tools};

/// Settings that the containers share.
#[cfg(test)]
pub(crate) mod settings {
    pub(crate) use super::elasticsearch::SETTINGS as ELASTICSEARCH;
    pub(crate) use super::kafka::SETTINGS as KAFKA;
    pub(crate) use super::postgres::SETTINGS as POSTGRES;
    pub(crate) use super::redis::SETTINGS as REDIS;
}

const START_LIMIT: Duration = Duration::from_mins(2);
/// Below the 8 s limit of stopping everything.
const STOP_GRACE: Duration = Duration::from_secs(6);
const LOG_LINES_SHOWN: usize = 20;

/// Installs, configures and starts native servers.
#[derive(Debug)]
pub(crate) struct Native {
    pub layout: Layout,
    /// Set when the caller is root.
    pub user: Option<User>,
    pub ports: BTreeMap<String, u16>,
    pub postgres_password: String,
}

impl Native {
    fn port(&self, server: Server) -> u16 {
        Listener::Clients(server).port(&self.ports)
    }

    /// The running process of `server`.
    pub(crate) fn process(&self, server: Server) -> Option<Process> {
        let (program, argument) = match server {
            Server::Kafka | Server::Elasticsearch => ("java", data_property(&self.layout.data(server))),
            Server::Postgres => ("postgres", self.layout.data(server).display().to_string()),
            Server::Redis => ("redis-server", redis::configuration_file(self).display().to_string()),
        };
        Process::find(&Fingerprint { program, argument })
    }

    /// Directory of the software of `server`.
    fn software(&self, server: Server) -> PathBuf {
        let name = match server {
            Server::Kafka => format!("kafka-{}", VERSIONS.kafka.version),
            Server::Postgres => format!("postgres-{}", VERSIONS.postgres.version),
            Server::Redis => "redis".to_owned(),
            Server::Elasticsearch => format!("elasticsearch-{}", VERSIONS.elasticsearch.version),
        };
        self.layout.software().join(name)
    }

    fn is_installed(&self, server: Server) -> bool {
        match server {
            Server::Redis => redis::program(self).is_some(),
            _ => self.software(server).is_dir(),
        }
    }

    /// Installs and starts `server` if necessary, and waits until it answers.
    pub(crate) async fn bring_up(&self, server: Server, progress: &Progress) -> Result<(), StackError> {
        let began = Instant::now();
        let child = if self.process(server).is_some() {
            None
        } else {
            self.layout.create(server, self.user.as_ref())?;
            self.install(server, progress).await?;
            Some(self.start(server, progress).await?)
        };
        progress.begin("waiting until it answers", 0);
        self.wait_until_it_answers(server, child).await?;
        let seconds = began.elapsed().as_secs_f32();
        progress.finish("up", &format!("up on port {} after {seconds:.1} s", self.port(server)));
        Ok(())
    }

    async fn install(&self, server: Server, progress: &Progress) -> Result<(), StackError> {
        if self.is_installed(server) {
            return Ok(());
        }
        progress.begin("installing", 0);
        match server {
            Server::Kafka => kafka::install(self, progress).await,
            Server::Postgres => postgres::install(self, progress).await,
            Server::Redis => redis::install(self, progress).await,
            Server::Elasticsearch => elasticsearch::install(self, progress).await,
        }
    }

    /// Configures and starts `server`, which is installed and does not run.
    async fn start(&self, server: Server, progress: &Progress) -> Result<Child, StackError> {
        progress.begin("starting", 0);
        let launch = match server {
            Server::Kafka => kafka::prepare(self).await?,
            Server::Postgres => postgres::prepare(self).await?,
            Server::Redis => redis::prepare(self)?,
            Server::Elasticsearch => elasticsearch::prepare(self)?,
        };
        let mut child = launch.spawn(self.user.as_ref(), &self.layout.log(server))?;
        if launch.ends_when_started {
            self.wait_for_launcher(server, &mut child).await?;
        }
        Ok(child)
    }

    async fn wait_for_launcher(&self, server: Server, child: &mut Child) -> Result<(), StackError> {
        match tokio::time::timeout(START_LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.did_not_start(server, format!("it ended ({status})"))),
            Ok(Err(error)) => Err(self.did_not_start(server, error.to_string())),
            Err(_) => Err(self.did_not_start(server, format!("nothing within {START_LIMIT:?}"))),
        }
    }

    async fn wait_until_it_answers(&self, server: Server, mut child: Option<Child>) -> Result<(), StackError> {
        let began = Instant::now();
        let address = address(server, &self.ports, &self.postgres_password);
        loop {
            let Err(refusal) = probe::probe(server, &address).await else {
                return Ok(());
            };
            let exit = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            // A child may not have executed the server's program yet.
            let has_ended = exit.is_some() || child.is_none();
            if has_ended && self.process(server).is_none() {
                let how = exit.map_or_else(|| "gone".to_owned(), |status| status.to_string());
                return Err(self.did_not_start(server, format!("its process ended ({how})")));
            }
            if began.elapsed() > START_LIMIT || is_wrong_password(&refusal) {
                let reason = with_causes(&refusal);
                return Err(self.did_not_start(server, reason));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn did_not_start(&self, server: Server, reason: String) -> StackError {
        let log = self.layout.log(server);
        StackError::DidNotStart { server, reason, last_lines: files::last_lines(&log, LOG_LINES_SHOWN), log }
    }

    /// Stops `server` and keeps its data; false if it was not running.
    pub(crate) async fn stop(&self, server: Server) -> Result<bool, StackError> {
        let Some(process) = self.process(server) else {
            return Ok(false);
        };
        let signal = match server {
            // Postgres's "fast" shutdown: SIGTERM would wait for every client to leave.
            Server::Postgres => Signal::INT,
            Server::Kafka | Server::Redis | Server::Elasticsearch => Signal::TERM,
        };
        process.stop(server, signal, STOP_GRACE).await?;
        Ok(true)
    }

    /// Work that is required to start `server`; none if it is running.
    pub(crate) fn need(&self, server: Server) -> Option<tools::Need> {
        if self.process(server).is_some() {
            return None;
        }
        if self.is_installed(server) {
            return Some(tools::Need::Start);
        }
        Some(tools::Need::Install)
    }

    /// A command for `program` as the user that runs the servers.
    fn command(&self, program: impl AsRef<Path>) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program.as_ref());
        command.current_dir("/");
        if let Some(user) = &self.user {
            user.apply_to(&mut command);
        }
        command
    }
}

/// The address of `server` on this machine.
pub(crate) fn address(server: Server, ports: &BTreeMap<String, u16>, postgres_password: &str) -> String {
    running_stack::local_address(server, Listener::Clients(server).port(ports), postgres_password)
}

/// A property that identifies a Java server's command line, for [`Native::process`].
fn data_property(data: &Path) -> String {
    format!("-Djangbogo.data={}", data.display())
}

fn is_wrong_password(error: &ProbeError) -> bool {
    match error {
        ProbeError::Postgres(sqlx::Error::Database(error)) => error.code().as_deref() == Some("28P01"),
        ProbeError::Redis(error) => RedisError::kind(error) == ::redis::ErrorKind::AuthenticationFailed,
        _ => false,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
