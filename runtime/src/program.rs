//! What every program's `main` is: its arguments, its log, its signals, and why it failed.

use std::error::Error;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser};

use crate::config::Connections;
use crate::shutdown::Shutdown;
use crate::telemetry::{LevelFilter, LogFormat, causes, init_logging};

/// What a program is told: its own settings, and those that all share.
#[derive(Parser, Clone, Debug)]
#[command(version)]
struct Arguments<Own: Args> {
    #[command(flatten)]
    own: Own,
    #[command(flatten, next_help_heading = "Servers and shop")]
    connections: Connections,
    /// How log lines look
    #[arg(long, env = "JANGBOGO_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Reads the arguments, runs until SIGINT or SIGTERM, and says why if that failed.
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
    match run_until_stopped(name, &matches, run) {
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
    let Arguments { own, connections, log_format } = Arguments::<Own>::from_arg_matches(matches)?;
    init_logging(name, LevelFilter::INFO, log_format)?;
    run(own, connections, Shutdown::on_signals()?).await.map_err(Into::into)
}
