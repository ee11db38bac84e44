//! The processors as programs: which projections and reactors each hosts, and by which settings.

mod hosts;

use std::process::ExitCode;

use clap::{ArgMatches, Args, Command};
use futures::future::BoxFuture;
use runtime::config::Connections;
use runtime::fold::Processor;
use runtime::program;
use runtime::shutdown::Shutdown;

pub use hosts::{AnalyticsHost, AssistantHost, EmbedderHost, EsSyncHost, PreferenceAnalysisHost, RecommendationHost};

/// A processor as a program: its settings, and what runs by them.
pub trait Hosting: Args + Send + 'static {
    /// Which.
    const PROCESSOR: &'static Processor;

    /// Runs until it is asked to stop.
    fn run(self, connections: Connections, shutdown: Shutdown) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// A [`Hosting`] for those who choose among several.
#[derive(Debug)]
pub struct Host {
    /// Which.
    pub processor: &'static Processor,
    /// Adds its settings to a command.
    pub augment: fn(Command) -> Command,
    /// Runs by what was given.
    pub run: fn(&ArgMatches, Connections, Shutdown) -> BoxFuture<'static, anyhow::Result<()>>,
}

impl Host {
    const fn of<H: Hosting>() -> Self {
        Self {
            processor: H::PROCESSOR,
            augment: H::augment_args,
            run: |matches, connections, shutdown| {
                let own = H::from_arg_matches(matches);
                Box::pin(async move { own?.run(connections, shutdown).await })
            },
        }
    }
}

/// Every processor's program.
pub static HOSTS: &[Host] = &[
    Host::of::<RecommendationHost>(),
    Host::of::<AnalyticsHost>(),
    Host::of::<EsSyncHost>(),
    Host::of::<PreferenceAnalysisHost>(),
    Host::of::<EmbedderHost>(),
    Host::of::<AssistantHost>(),
];

/// The program of that name.
#[must_use]
pub fn host(name: &str) -> Option<&'static Host> {
    HOSTS.iter().find(|host| host.processor.name == name)
}

/// The `main` of a processor's binary.
#[must_use]
pub fn main<H: Hosting>() -> ExitCode {
    program::main(H::PROCESSOR.name, about(H::PROCESSOR), async |own: H, connections, shutdown| {
        own.run(connections, shutdown).await
    })
}

/// What a processor is for, with the topics it reads.
#[must_use]
pub fn about(processor: &Processor) -> String {
    let topics: Vec<&str> = processor.topics().into_iter().map(events::Topic::name).collect();
    format!("Folds {} into {}", topics.join(", "), processor.description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_is_a_program() {
        let hosted: Vec<&str> = HOSTS.iter().map(|host| host.processor.name).collect();
        let registered: Vec<&str> = projections::PROCESSORS.iter().map(|processor| processor.name).collect();
        assert_eq!(hosted, registered);
    }
}
