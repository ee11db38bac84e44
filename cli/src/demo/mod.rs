//! `jangbogo demo`: runs the whole pipeline on real servers with a real year of orders; `--once` checks it.

mod checks;
mod conversation;
mod conversation_check;
mod log_counts;
mod processes;
mod shop;
mod totals;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use jangbogo_platform::config::Connections;
use jangbogo_platform::shutdown::Shutdown;
use jangbogo_stack::{Options, Progress, ServerState, Source, Stack, StackError, without_password};
use jangbogo_topology::{Topology, apply};

use self::processes::Processes;
use self::web::Web;
use crate::models;
use crate::output::{print, table};

/// Timeout of the fold of the whole demo shop on a slow machine.
const SETTLE_LIMIT: Duration = Duration::from_mins(20);

/// Runs the whole pipeline with the demo shop: servers, processors, gateway and query service
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  jangbogo demo                     stays up until Ctrl-C, which stops everything and keeps the data
  jangbogo demo --once              checks the running system, prints a summary, stops, and exits 0 if all checks passed
  jangbogo --namespace try demo     a second demo shop on the same servers

The first start installs missing servers and imports a real year of orders; later starts reuse both.")]
pub struct Arguments {
    /// Check the running system, print a summary, and stop
    #[arg(long)]
    once: bool,
    /// Listen address of the gateway
    #[arg(long, default_value = "127.0.0.1:8080")]
    gateway: SocketAddr,
    /// Listen address of the query service
    #[arg(long, default_value = "127.0.0.1:8081")]
    query: SocketAddr,
}
pub async fn run(arguments: Arguments, options: &Options, connections: Connections) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let stop = shutdown.token();
    let started = Instant::now();
    let servers_ran_before = servers_run(options).await?;
    let mut processes = Processes::default();
    let demo = async {
        let servers = async { Stack::up(options, &Progress::on_standard_error()).await.map_err(anyhow::Error::from) };
        let (stack, ()) = tokio::try_join!(servers, models::fetch_one(connections.embedding_model.as_deref()))?;
        let connections = at_stack(connections, &stack);
        run_demo(&arguments, options, &stack, &connections, &mut processes, started).await
    };
    let outcome = tokio::select! {
        outcome = demo => outcome,
        () = stop.cancelled() => Ok(()),
    };
    eprintln!("stopping …");
    let stopping = Instant::now();
    processes.stop().await;
    if servers_ran_before {
        eprintln!(
            "stopped in {:.1} s; the servers were running before and keep running",
            stopping.elapsed().as_secs_f64()
        );
    } else {
        Stack::down(options, &Progress::silent()).await.context("the servers did not stop")?;
        eprintln!("stopped everything in {:.1} s; the data is kept", stopping.elapsed().as_secs_f64());
    }
    outcome
}

async fn run_demo(
    arguments: &Arguments,
    options: &Options,
    stack: &Stack,
    connections: &Connections,
    processes: &mut Processes,
    started: Instant,
) -> anyhow::Result<()> {
    apply(&Topology::embedded()?, connections).await.context("the topics were not created")?;
    jangbogo_platform::database::migrate(connections).await.context("the migrations were not applied")?;
    processes.start(&logs(options), connections, arguments).await?;
    let web = Web::new(arguments.gateway, arguments.query)?;
    let expected = shop::load(connections).await?;
    let addresses = processes.addresses();
    let folding = async {
        web.ready(&addresses).await?;
        shop::wait_until_folded(&web, SETTLE_LIMIT).await
    };
    let failure = tokio::select! {
        folded = folding => { folded?; None }
        failure = processes.first_to_end() => Some(failure),
    };
    if let Some(failure) = failure {
        bail!(failure);
    }
    eprintln!("ready after {:.1} s", started.elapsed().as_secs_f64());
    if arguments.once {
        let checks = checks::run(connections, &web, &expected).await?;
        print(&checks.to_text())?;
        return checks.outcome();
    }
    print(&overview(stack, connections, processes, arguments))?;
    bail!(processes.first_to_end().await)
}

/// True if servers of the stack run already: the demo stops only what it started.
async fn servers_run(options: &Options) -> anyhow::Result<bool> {
    let servers = match Stack::status(options).await {
        Err(StackError::NotProvisioned(_)) => Vec::new(),
        servers => servers?,
    };
    Ok(servers.iter().any(|server| server.state == ServerState::Up && server.source != Source::Environment))
}

fn at_stack(connections: Connections, stack: &Stack) -> Connections {
    let addresses = stack.addresses().clone();
    Connections {
        kafka: addresses.kafka,
        postgres: addresses.postgres,
        redis: addresses.redis,
        elasticsearch: addresses.elasticsearch,
        ..connections
    }
}

fn logs(options: &Options) -> PathBuf {
    options.directory.join("logs")
}

fn overview(stack: &Stack, connections: &Connections, processes: &Processes, arguments: &Arguments) -> String {
    let mut rows = table(["what", "where", "log"]);
    let addresses = stack.addresses();
    for (server, address) in [
        ("kafka", &addresses.kafka),
        ("postgres", &addresses.postgres),
        ("redis", &addresses.redis),
        ("elasticsearch", &addresses.elasticsearch),
    ] {
        rows.add_row([server, &without_password(address), ""]);
    }
    for process in processes.all() {
        rows.add_row([process.name, &process.address, &process.log.display().to_string()]);
    }
    let namespace = match connections.namespace.to_string() {
        name if name.is_empty() => String::new(),
        name => format!("--namespace {name} "),
    };
    format!(
        "\n{rows}\n\nTry:\n  curl -s http://{query}/v1/members/17841/recommendations\n  \
         curl -s 'http://{query}/v1/search?q=red+lunch+bag'\n  \
         {program} {namespace}events tail order-completed\n\nCtrl-C stops everything and keeps the data.\n",
        query = arguments.query,
        program = program(),
    )
}

/// Path of this program, relative to the current directory.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else { return "jangbogo".to_owned() };
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(&path).display().to_string()
}
