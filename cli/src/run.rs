//! `jangbogo run`: one program of the pipeline in the foreground, with the same code as its own binary.

use clap::{ArgMatches, FromArgMatches, Subcommand};
use jangbogo_gateway::GatewayArgs;
use jangbogo_gateway::dispatcher::DispatcherArgs;
use jangbogo_host::app::{self, AppDescriptor};
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_query::QueryArgs;

use crate::apps;

const EXAMPLES: &str = "\
Examples:
  jangbogo run recommendation --instances 3 --admin-port 9100
  jangbogo run gateway
  curl -s localhost:9100/readyz

Each is also a binary of its own: `recommendation --help`. An unavailable server is retried and shows in /readyz. \
SIGINT or SIGTERM drains work in progress for up to 10 s; a second signal ends the program at once.";

/// Set by a parent process: the program ends when its parent ends, even if that was killed.
pub const ENDS_WITH_PARENT: &str = "JANGBOGO_ENDS_WITH_PARENT";

/// A processor of the registry, or a service.
#[derive(Debug)]
pub enum Command {
    Processor(&'static AppDescriptor, ArgMatches),
    Service(Service),
}

/// Programs that are not processors.
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Accepts commands over HTTP and writes their events to the outbox
    Gateway(GatewayArgs),
    /// Relays the outbox to Kafka; of several instances one is the leader
    OutboxDispatcher(DispatcherArgs),
    /// Serves reads over HTTP: recommendations, search, analytics, and the pipeline's state
    Query(QueryArgs),
}

impl Command {
    /// The program's name in log lines.
    pub fn process_name(&self) -> &'static str {
        match self {
            Self::Processor(app, _) => app.processor.name,
            Self::Service(Service::Gateway(_)) => "gateway",
            Self::Service(Service::OutboxDispatcher(_)) => "outbox-dispatcher",
            Self::Service(Service::Query(_)) => "query",
        }
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if let Some((name, arguments)) = matches.subcommand()
            && let Some(app) = apps::app(name)
        {
            return Ok(Self::Processor(app, arguments.clone()));
        }
        Ok(Self::Service(Service::from_arg_matches(matches)?))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Command {
    fn augment_subcommands(mut command: clap::Command) -> clap::Command {
        for AppDescriptor { processor, augment, .. } in apps::APPS {
            // After `augment`, which sets an about of its own.
            let subcommand = augment(clap::Command::new(processor.name));
            command = command.subcommand(subcommand.about(app::about(processor)));
        }
        Service::augment_subcommands(command)
            .about("Runs one program of the pipeline until Ctrl-C")
            .after_help(EXAMPLES)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        apps::app(name).is_some() || Service::has_subcommand(name)
    }
}

/// Runs the program until SIGINT or SIGTERM.
pub async fn run(command: Command, connections: Connections) -> anyhow::Result<()> {
    if std::env::var_os(ENDS_WITH_PARENT).is_some() {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let shutdown = Shutdown::on_signals()?;
    match command {
        Command::Processor(app, arguments) => return (app.run)(&arguments, connections, shutdown).await,
        Command::Service(Service::Gateway(args)) => {
            shutdown.spawn("gateway", jangbogo_gateway::run(args, connections, shutdown.token()));
        }
        Command::Service(Service::OutboxDispatcher(args)) => {
            shutdown.spawn("outbox-dispatcher", jangbogo_gateway::dispatcher::run(args, connections, shutdown.token()));
        }
        Command::Service(Service::Query(args)) => {
            shutdown.spawn("query", jangbogo_query::run(args, connections, shutdown.token()));
        }
    }
    Ok(shutdown.drain().await?)
}
