//! A processor as a program: command-line settings, and the list entry of a multi-call binary.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, Args, Command};
use futures::future::BoxFuture;
use jangbogo_events::Topic;
use jangbogo_fold::Processor;
use jangbogo_platform::config::Connections;
use jangbogo_platform::program;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_react::{Reactor, ReactorSpec};
use jangbogo_telemetry::Telemetry;
use jangbogo_topology::Topology;

use crate::process::{self, ProcessorArgs, ProcessorRuntime};

/// A processor's settings, and the reactors made from them.
pub trait ProcessorApp: Args + Send + 'static {
    const PROCESSOR: &'static Processor;
    const REACTORS: &'static [&'static ReactorSpec];

    /// The settings that every processor has.
    fn process_args(&self) -> &ProcessorArgs;

    /// Creates the reactors; not called with `--fold-only`.
    ///
    /// # Errors
    /// When a setting is invalid.
    fn reactors(
        self,
        connections: &Connections,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> impl Future<Output = anyhow::Result<Vec<Arc<dyn Reactor>>>> + Send;
}

/// Runs a processor until it is stopped.
///
/// # Errors
/// When it cannot start, or one of its tasks fails. Unavailable servers are retried.
pub async fn run<A: ProcessorApp>(app: A, connections: Connections, shutdown: Shutdown) -> anyhow::Result<()> {
    let args = app.process_args().clone();
    let telemetry = Telemetry::new()?;
    let reactors = if args.fold_only { Vec::new() } else { app.reactors(&connections, &telemetry, &shutdown).await? };
    let runtime = ProcessorRuntime { processor: A::PROCESSOR, reactors };
    Ok(process::run(runtime, connections, args, telemetry, shutdown).await?)
}

/// A [`ProcessorApp`] with its type erased, for lists.
#[derive(Debug)]
pub struct AppDescriptor {
    pub processor: &'static Processor,
    pub reactors: &'static [&'static ReactorSpec],
    /// Adds the settings to a clap command.
    pub augment: fn(Command) -> Command,
    /// Runs the processor with the parsed settings.
    pub run: fn(&ArgMatches, Connections, Shutdown) -> BoxFuture<'static, anyhow::Result<()>>,
}

impl AppDescriptor {
    #[must_use]
    pub const fn new<A: ProcessorApp>() -> Self {
        Self {
            processor: A::PROCESSOR,
            reactors: A::REACTORS,
            augment: A::augment_args,
            run: |matches, connections, shutdown| {
                let app = A::from_arg_matches(matches);
                Box::pin(async move { run(app?, connections, shutdown).await })
            },
        }
    }
}

/// The `main` of a processor's binary.
#[must_use]
pub fn main<A: ProcessorApp>() -> ExitCode {
    program::main(A::PROCESSOR.name, about(A::PROCESSOR), async |app: A, connections, shutdown| {
        run(app, connections, shutdown).await
    })
}

/// The processor's description in the topology, with the topics that it reads, for `--help`.
#[must_use]
pub fn about(processor: &Processor) -> String {
    let topics: Vec<&str> = processor.topics().into_iter().map(Topic::name).collect();
    let topics = topics.join(", ");
    let declared = Topology::embedded()
        .ok()
        .and_then(|topology| topology.processors.into_iter().find(|declared| declared.name == processor.name));
    match declared {
        Some(declared) => format!("{}; folds {topics}", declared.description),
        None => format!("Folds {topics}"),
    }
}
