//! The `main` of every program: arguments, logging, signals, and the exit status.

use std::error::Error;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};
use jangbogo_telemetry::{LevelFilter, LogFormat, causes, init_logging};

use crate::config::Connections;
use crate::shutdown::Shutdown;

/// Settings that every program has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers and shop")]
pub struct Shared {
    #[command(flatten)]
    pub connections: Connections,
    /// Format of log lines
    #[arg(long, env = "JANGBOGO_LOG_FORMAT", value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
}

/// A program's own settings and the shared ones.
#[derive(Parser, Clone, Debug)]
#[command(version)]
struct Arguments<Own: Args> {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    shared: Shared,
}

/// Parses the arguments, runs until SIGINT or SIGTERM, and prints a failure with its causes to stderr.
pub fn main<Own, Failure>(
    name: &'static str,
    about: impl Into<StyledStr>,
    run: impl AsyncFnOnce(Own, Connections, Shutdown) -> Result<(), Failure>,
) -> ExitCode
where
    Own: Args,
    Failure: Into<Box<dyn Error + Send + Sync>>,
{
    let matches = Arguments::<Own>::command().name(name).about(about.into()).get_matches();
    exit_code(name, run_until_stopped(name, &matches, run))
}

/// Prints a failure with its causes to stderr.
pub fn exit_code(name: &str, outcome: Result<(), impl Into<Box<dyn Error + Send + Sync>>>) -> ExitCode {
    match outcome.map_err(Into::into) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {}", causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run_until_stopped<Own, Failure>(
    name: &'static str,
    matches: &clap::ArgMatches,
    run: impl AsyncFnOnce(Own, Connections, Shutdown) -> Result<(), Failure>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    Own: Args,
    Failure: Into<Box<dyn Error + Send + Sync>>,
{
    let Arguments { own, shared } = Arguments::<Own>::from_arg_matches(matches)?;
    init_logging(name, LevelFilter::INFO, shared.log_format)?;
    shared.connections.vector_index.check()?;
    run(own, shared.connections, Shutdown::on_signals()?).await.map_err(Into::into)
}
