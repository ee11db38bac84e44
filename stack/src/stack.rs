//! Starts the servers, reports their status, and stops them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use jangbogo_platform::progress::ProgressReporter;
use jangbogo_platform::servers::{Addresses, Server, without_password};
use rustix::process::Signal;

use crate::docker::Docker;
use crate::error::StackError;
use crate::files::{self, FileErrors};
use crate::layout::Layout;
use crate::native::{self, Native};
use crate::options::Options;
use crate::state::{Lock, Source, State};
use crate::status::ServerStatus;
use crate::user::User;
use crate::versions::VERSIONS;
use crate::{install, ports, probe, tools};

/// The four servers, each of which has answered a probe.
#[derive(Debug)]
pub struct Stack {
    directory: PathBuf,
    addresses: Addresses,
    sources: BTreeMap<Server, Source>,
    native: Option<Native>,
}

/// Faults that tests inject into a native server's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerSignal {
    /// Stops it gracefully and keeps its data.
    Stop,
    /// Kills it and its children (SIGKILL).
    Kill,
    /// Suspends the server (SIGSTOP).
    Pause,
    /// Resumes the server (SIGCONT).
    Resume,
}

impl Stack {
    /// Starts every server and waits until each answers a real request. Running servers are used as they are, missing
    /// ones are installed, dead ones are restarted. Concurrent calls of several processes are serialised by a lock.
    ///
    /// # Errors
    /// When a required program is missing, a download fails or has another checksum, an external server does not
    /// answer, or a server does not start; the message names it, its log and what to do.
    pub async fn up(options: &Options, progress: &ProgressReporter) -> Result<Self, StackError> {
        check_external(&options.given).await?;
        let own: Vec<Server> = own_servers(options);
        if own.is_empty() {
            return Self::new(options, None, &State::default());
        }
        let lock = Lock::acquire(&options.directory, || {
            progress.note("another process is starting or stopping the servers; waiting for it");
        });
        let _lock = lock.await?;
        let mut state = load_or_begin(options).await?;
        if state.source == Some(Source::Docker) {
            bring_up_containers(options, &own, &mut state, progress).await?;
            return Self::new(options, None, &state);
        }
        let native = prepare_native(options, &own, &mut state, progress).await?;
        bring_up_processes(&native, &own, progress).await?;
        Self::new(options, Some(native), &state)
    }

    fn new(options: &Options, native: Option<Native>, state: &State) -> Result<Self, StackError> {
        let (mut addresses, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for server in Server::ALL {
            let (address, source) = locate(options, state, server)?;
            addresses.insert(server, address);
            sources.insert(server, source);
        }
        let mut take = |server| addresses.remove(&server).unwrap_or_default();
        let addresses = Addresses {
            kafka: take(Server::Kafka),
            postgres: take(Server::Postgres),
            redis: take(Server::Redis),
            elasticsearch: take(Server::Elasticsearch),
        };
        Ok(Self { directory: options.directory.clone(), addresses, sources, native })
    }

    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    #[must_use]
    pub fn source(&self, server: Server) -> Source {
        self.sources.get(&server).copied().unwrap_or(Source::Environment)
    }

    /// Addresses of external and previously started servers; `None` if some are neither. Sends no request.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn known_addresses(options: &Options) -> Result<Option<Addresses>, StackError> {
        let state = State::load(&options.directory)?.unwrap_or_default();
        if state.source.is_none() && !own_servers(options).is_empty() {
            return Ok(None);
        }
        Ok(Some(Self::new(options, None, &state)?.addresses))
    }

    /// Options for dedicated native servers in another directory, which may be stopped and wiped. They share the
    /// programs that this stack has installed.
    #[must_use]
    pub fn options_beside(&self, directory: PathBuf) -> Options {
        let software = self.native.as_ref().map(|native| native.layout.software());
        Options { directory, native: true, software, ..Options::default() }
    }

    /// Status of each server.
    ///
    /// # Errors
    /// When nothing is provisioned, or the state file or the containers cannot be read.
    pub async fn status(options: &Options) -> Result<Vec<ServerStatus>, StackError> {
        let state = match State::load(&options.directory)? {
            Some(state) => state,
            None if own_servers(options).is_empty() => State::default(),
            None => return Err(StackError::NotProvisioned(options.directory.clone())),
        };
        let native = saved_native(options, &state).await?;
        let containers = match state.source {
            Some(Source::Docker) => Docker::new(&options.directory).running().await?,
            _ => Vec::new(),
        };
        let status_of = async |server| {
            let (address, source) = locate(options, &state, server)?;
            let process = native.process(server);
            let runs = match source {
                Source::Environment => None,
                Source::Docker => Some(containers.contains(&server)),
                Source::Native => Some(process.is_some()),
            };
            let mut status = ServerStatus::probe(server, &address, source, runs).await;
            if source == Source::Native {
                status.pid = process.as_ref().map(|process| process.pid);
                status.resident_bytes = process.map(|process| process.resident_bytes());
                status.log = Some(native.layout.log(server));
                if server == Server::Kafka {
                    status.version = Some(VERSIONS.kafka.version.clone());
                }
            }
            Ok::<_, StackError>(status)
        };
        let (kafka, postgres, redis, elasticsearch) = tokio::join!(
            status_of(Server::Kafka),
            status_of(Server::Postgres),
            status_of(Server::Redis),
            status_of(Server::Elasticsearch),
        );
        Ok(vec![kafka?, postgres?, redis?, elasticsearch?])
    }

    /// Stops the servers of this stack directory, keeps their data, and returns those that were running. External
    /// servers are not touched.
    ///
    /// # Errors
    /// When a server cannot be stopped; the others are stopped nevertheless.
    pub async fn down(options: &Options, progress: &ProgressReporter) -> Result<Vec<Server>, StackError> {
        if State::load(&options.directory)?.is_none() {
            return Ok(Vec::new());
        }
        let lock = Lock::acquire(&options.directory, || {
            progress.note("another process is starting or stopping the servers; waiting for it");
        });
        let _lock = lock.await?;
        let Some(state) = State::load(&options.directory)? else {
            return Ok(Vec::new());
        };
        if state.source == Some(Source::Docker) {
            let docker = Docker::new(&options.directory);
            let running = docker.running().await?;
            docker.stop().await?;
            return Ok(running);
        }
        let native = saved_native(options, &state).await?;
        let (kafka, postgres, redis, elasticsearch) = tokio::join!(
            native.stop(Server::Kafka),
            native.stop(Server::Postgres),
            native.stop(Server::Redis),
            native.stop(Server::Elasticsearch),
        );
        let mut stopped = Vec::new();
        for (server, ran) in Server::ALL.into_iter().zip([kafka, postgres, redis, elasticsearch]) {
            if ran? {
                stopped.push(server);
            }
        }
        Ok(stopped)
    }

    /// Sends a signal to a native server; after `Stop` and `Kill` the process has ended when this returns.
    ///
    /// # Errors
    /// When the server is not native, or does not end.
    pub async fn signal_server(&self, server: Server, signal: ServerSignal) -> Result<(), StackError> {
        let native = self.native_server(server)?;
        let Some(process) = native.process(server) else {
            return Ok(());
        };
        match signal {
            ServerSignal::Stop => native.stop(server).await.map(drop)?,
            ServerSignal::Pause => process.signal_family(Signal::STOP),
            ServerSignal::Resume => process.signal_family(Signal::CONT),
            ServerSignal::Kill => process.kill(server).await?,
        }
        Ok(())
    }

    /// Restarts a native server on its port, and waits until it answers. Different servers may be started concurrently.
    ///
    /// # Errors
    /// When the server is not native, its port is taken, or it does not start.
    pub async fn start_server(&self, server: Server) -> Result<(), StackError> {
        let native = self.native_server(server)?;
        let _lock = Lock::share(&self.directory).await?;
        native.bring_up(server, &ProgressReporter::silent().spinner(server.name())).await
    }

    /// Removes the data of a stopped native server, which then starts empty.
    ///
    /// # Errors
    /// When the server is not native or runs, or the files cannot be removed.
    pub fn wipe_server(&self, server: Server) -> Result<(), StackError> {
        let native = self.native_server(server)?;
        if let Some(process) = native.process(server) {
            return Err(StackError::Runs { server, pid: process.pid });
        }
        files::remove_directory(&native.layout.data(server))
    }

    fn native_server(&self, server: Server) -> Result<&Native, StackError> {
        let source = self.source(server);
        match &self.native {
            Some(native) if source == Source::Native => Ok(native),
            _ => Err(StackError::NotNative { server, source_name: source.name() }),
        }
    }
}

fn own_servers(options: &Options) -> Vec<Server> {
    let is_own = |server: &Server| !options.given.contains_key(server);
    Server::ALL.into_iter().filter(is_own).collect()
}

/// The address and source of `server`.
fn locate(options: &Options, state: &State, server: Server) -> Result<(String, Source), StackError> {
    if let Some(address) = options.given.get(&server) {
        return Ok((address.clone(), Source::Environment));
    }
    let source = state.source.ok_or_else(|| StackError::NotProvisioned(options.directory.clone()))?;
    Ok((native::address(server, &state.ports, &state.postgres_password), source))
}

async fn check_external(addresses: &BTreeMap<Server, String>) -> Result<(), StackError> {
    for (server, address) in addresses {
        let answer = probe::probe(*server, address).await;
        answer.map_err(|source| StackError::NotAnswering {
            server: *server,
            address: without_password(address),
            source,
        })?;
    }
    Ok(())
}

/// The saved state; the first time, selects Docker or native servers and generates a password.
async fn load_or_begin(options: &Options) -> Result<State, StackError> {
    if let Some(state) = State::load(&options.directory)? {
        return Ok(state);
    }
    let source = if !options.native && Docker::is_available().await {
        Source::Docker
    } else if VERSIONS.postgres.wheels.contains_key(std::env::consts::ARCH) && cfg!(target_os = "linux") {
        Source::Native
    } else {
        return Err(StackError::UnsupportedPlatform);
    };
    Ok(State { source: Some(source), postgres_password: random_password()?, ..State::default() })
}

fn random_password() -> Result<String, StackError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 18];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.or_file_error("read", path)?;
    Ok(hex::encode(bytes))
}

async fn bring_up_containers(
    options: &Options,
    own: &[Server],
    state: &mut State,
    progress: &ProgressReporter,
) -> Result<(), StackError> {
    let docker = Docker::new(&options.directory);
    let running = docker.running().await?;
    let is_running = |server: &Server| running.contains(server);
    if !own.iter().all(is_running) {
        for server in own.iter().filter(|server| !is_running(server)) {
            ports::choose(*server, options.ports.get(server).copied(), &mut state.ports)?;
        }
        state.save(&options.directory)?;
        docker.up(own, &state.ports, &state.postgres_password, progress).await?;
    }
    let addresses =
        own.iter().map(|server| (*server, native::address(*server, &state.ports, &state.postgres_password)));
    check_external(&addresses.collect()).await
}

/// The native servers of a saved state.
async fn saved_native(options: &Options, state: &State) -> Result<Native, StackError> {
    Ok(Native {
        layout: Layout::new(&options.directory, state.elsewhere.as_deref(), options.software.as_deref()),
        user: User::for_servers().await?,
        ports: state.ports.clone(),
        postgres_password: state.postgres_password.clone(),
    })
}

/// Checks the native servers' requirements, and chooses ports for those that must be started.
async fn prepare_native(
    options: &Options,
    own: &[Server],
    state: &mut State,
    progress: &ProgressReporter,
) -> Result<Native, StackError> {
    if state.elsewhere.is_none() {
        let user = User::for_servers().await?;
        state.elsewhere = Layout::elsewhere(&options.directory, user.as_ref());
        if let Some(elsewhere) = &state.elsewhere {
            progress.note(&format!(
                "{} is not accessible to the user that runs the servers; their files are in {}",
                options.directory.display(),
                elsewhere.display()
            ));
        }
    }
    let mut native = saved_native(options, state).await?;
    let needs: Vec<(Server, tools::Need)> =
        own.iter().filter_map(|server| Some((*server, native.need(*server)?))).collect();
    if needs.is_empty() {
        return Ok(native);
    }
    tools::check(&needs)?;
    for (server, _) in &needs {
        ports::choose(*server, options.ports.get(server).copied(), &mut state.ports)?;
    }
    native.ports.clone_from(&state.ports);
    state.save(&options.directory)?;
    let software = native.layout.software();
    // In another stack's directory, an incomplete installation may be in progress.
    if options.software.is_none() && software.is_dir() {
        install::remove_incomplete(&software)?;
    }
    Ok(native)
}

/// Starts all of them concurrently; the first failure is returned when the others have started or failed, too.
async fn bring_up_processes(native: &Native, own: &[Server], progress: &ProgressReporter) -> Result<(), StackError> {
    let bring_up = async |server| {
        if !own.contains(&server) {
            return Ok(());
        }
        native.bring_up(server, &progress.spinner(server.name())).await
    };
    let (kafka, postgres, redis, elasticsearch) = tokio::join!(
        bring_up(Server::Kafka),
        bring_up(Server::Postgres),
        bring_up(Server::Redis),
        bring_up(Server::Elasticsearch),
    );
    kafka.and(postgres).and(redis).and(elasticsearch)
}
