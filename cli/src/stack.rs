//! `jangbogo stack`: provisions, inspects and stops the servers.

use anyhow::bail;
use clap::Subcommand;
use jangbogo_stack::{Options, Progress, Server, ServerState, Stack, without_password};

use crate::output::{print, table};

/// Provisions, runs and stops Kafka, Postgres, Redis and Elasticsearch
#[derive(Clone, Copy, Debug, Subcommand)]
#[command(after_help = "\
Servers whose addresses are given (--kafka, KAFKA_BOOTSTRAP_SERVERS, …) are external: used and never stopped. The others \
run in Docker where an engine is available, else natively, installed below .stack (or JANGBOGO_STACK_DIR). They listen \
on 127.0.0.1 only and keep their data.

Examples:
  jangbogo stack up
  jangbogo stack status
  eval \"$(jangbogo stack env)\"    for programs that read environment variables")]
pub enum Command {
    /// Starts every server and waits until each answers; installs what is missing
    Up,
    /// Stops the servers that `stack up` started and keeps their data
    Down,
    /// Shows the state of each server; exits 1 unless all are up
    Status,
    /// Prints the servers' addresses, passwords included, as environment variables
    Env,
}

pub async fn run(command: Command, options: &Options) -> anyhow::Result<()> {
    match command {
        Command::Up => up(options).await,
        Command::Down => down(options).await,
        Command::Status => status(options).await,
        Command::Env => env(options),
    }
}

async fn up(options: &Options) -> anyhow::Result<()> {
    let stack = Stack::up(options, &Progress::on_standard_error()).await?;
    let mut rows = table(["Server", "Address", "Source"]);
    for server in Server::ALL {
        let address = without_password(stack.addresses().get(server));
        rows.add_row([server.name(), &address, stack.source(server).name()]);
    }
    print(&format!("{rows}\n"))
}

async fn down(options: &Options) -> anyhow::Result<()> {
    let stopped = Stack::down(options, &Progress::on_standard_error()).await?;
    if stopped.is_empty() {
        return print("no server of this stack was up\n");
    }
    let names: Vec<&str> = stopped.into_iter().map(Server::name).collect();
    print(&format!("stopped {}; their data is kept\n", names.join(", ")))
}

async fn status(options: &Options) -> anyhow::Result<()> {
    let servers = Stack::status(options).await?;
    let mut rows = table(["Server", "State", "Address", "Source", "Version", "Process", "Memory", "Log"]);
    for server in &servers {
        rows.add_row([
            server.server.name().to_owned(),
            server.state.name().to_owned(),
            server.address.clone(),
            server.source.name().to_owned(),
            server.version.clone().unwrap_or_default(),
            server.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            server.resident_bytes.map(|bytes| format!("{} MB", bytes / 1_000_000)).unwrap_or_default(),
            server.log.as_ref().map(|log| log.display().to_string()).unwrap_or_default(),
        ]);
    }
    print(&format!("{rows}\n"))?;
    let not_up = servers.iter().filter(|server| server.state != ServerState::Up);
    let not_up: Vec<&str> = not_up.map(|server| server.server.name()).collect();
    if !not_up.is_empty() {
        bail!("not up: {}; `jangbogo stack up` starts this stack's servers", not_up.join(", "));
    }
    Ok(())
}

fn env(options: &Options) -> anyhow::Result<()> {
    let Some(addresses) = Stack::known_addresses(options)? else {
        bail!("no servers were provisioned below {}; run `jangbogo stack up`", options.directory.display());
    };
    for server in Server::ALL {
        // Addresses hold no quote: a URL writes it as %27.
        print(&format!("export {}='{}'\n", server.environment_variable(), addresses.get(server)))?;
    }
    Ok(())
}
