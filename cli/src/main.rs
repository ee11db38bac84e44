//! The `jangbogo` command: a thin layer over the crates.

mod apps;
mod completions;
mod demo;
mod evaluate;
mod events;
mod models;
mod output;
mod run;
mod stack;
mod topology;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use jangbogo_platform::program::{Shared, exit_code};
use jangbogo_platform::running_stack::with_running_stack;
use jangbogo_stack::connections;
use jangbogo_telemetry::{LevelFilter, init_logging};

/// Memory that one thread frees is allocated by another: with the system's allocator usage grows with the log.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The recommendation brain of an online shop: an event-sourced pipeline on Apache Kafka
#[derive(Debug, Parser)]
#[command(
    name = "jangbogo",
    version,
    long_about = "\
The recommendation brain of an online shop: an event-sourced pipeline on Apache Kafka.

Every state change is an event in a Kafka topic; everything else is a fold of the log. Processors fold it into read \
models in Postgres and publish views to Redis and Elasticsearch; a store that was wiped is refilled.",
    after_long_help = "\
Every option of servers and shop is also an environment variable, shown in brackets. Without an address a command uses \
the servers that `jangbogo stack up` runs, else those at the default ports of this machine.

Examples:
  jangbogo stack up                        provision and run the servers
  jangbogo topology graph --format text    the whole pipeline on one page
  jangbogo topology apply                  create Kafka's topics
  jangbogo run recommendation              fold the log into recommendations, until Ctrl-C
  jangbogo events tail order-completed     watch orders arrive

Several shops may share the servers, each with its own --namespace.

RUST_LOG sets the level of log lines, which go to stderr: RUST_LOG=debug, or RUST_LOG=info,jangbogo_store=debug."
)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Stack(stack::Command),
    #[command(subcommand)]
    Topology(topology::Command),
    #[command(subcommand)]
    Events(events::Command),
    #[command(subcommand)]
    Run(run::Command),
    #[command(subcommand)]
    Replay(jangbogo_replay::Command),
    #[command(subcommand)]
    Models(models::Command),
    #[command(subcommand)]
    Evaluate(evaluate::Command),
    Demo(demo::Arguments),
    Completions(completions::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    exit_code("jangbogo", run(cli, &matches).await)
}

async fn run(Cli { shared, command }: Cli, matches: &ArgMatches) -> anyhow::Result<()> {
    let (process_name, level) = match &command {
        Command::Run(command) => (command.process_name(), LevelFilter::INFO),
        // It reports its progress itself.
        Command::Replay(_) => ("replay", LevelFilter::WARN),
        _ => ("jangbogo", LevelFilter::INFO),
    };
    init_logging(process_name, level, shared.log_format)?;
    shared.connections.vector_index.check()?;
    let connections = with_running_stack(matches, &shared.connections)?;
    match command {
        Command::Stack(command) => {
            stack::run(command, &connections::stack_options(matches, &shared.connections)?).await
        }
        Command::Topology(command) => topology::run(command, &connections).await,
        Command::Events(command) => events::run(command, &connections).await,
        Command::Run(command) => run::run(command, connections).await,
        Command::Replay(command) => jangbogo_replay::run(command, connections).await,
        Command::Models(command) => models::run(command).await,
        Command::Evaluate(command) => evaluate::run(command, &connections).await,
        Command::Demo(arguments) => {
            demo::run(arguments, &connections::stack_options(matches, &shared.connections)?, connections).await
        }
        Command::Completions(arguments) => completions::run(arguments, &mut Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command's `--help`, as it is 100 columns wide and with no environment variable set.
    #[test]
    fn help_texts() {
        let mut cli = Cli::command().term_width(100);
        cli.build();
        let mut pages = vec![help_page(&cli)];
        add_help_of_subcommands(&cli, &mut pages);
        insta::assert_snapshot!(pages.join("\n"));
    }

    fn add_help_of_subcommands(command: &clap::Command, pages: &mut Vec<String>) {
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            // Shared options are on the first page.
            pages.push(help_page(&subcommand.clone().mut_args(|argument| {
                let is_shared = argument.is_global_set();
                argument.hide(is_shared)
            })));
            add_help_of_subcommands(subcommand, pages);
        }
    }

    fn help_page(command: &clap::Command) -> String {
        let mut command = command.clone().term_width(100).mut_args(|argument| argument.hide_env_values(true));
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        format!("=== {name} --help ===\n{}", command.render_long_help())
    }
}
