//! Latency from an event's append to the query service's responses, under load.

mod load;
mod probe;
mod report;
mod step;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::load::Load;
use self::probe::{Probe, ProbeClient};
use self::report::RebuildOutcome;

pub use self::report::Report;
use self::step::Step;
use crate::processes::{Processes, free_address};
use crate::rebuild::fill;
use crate::shop::{Shop, build_programs, sibling};

/// Timeout of folding the log before the measurement.
const SETTLE_LIMIT: Duration = Duration::from_mins(15);
/// Timeout of requests other than probes.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// Duration of the load before the measurement.
const WARM_UP: Duration = Duration::from_secs(5);
/// Timeout of pending probes at the end.
const PROBE_LIMIT: Duration = Duration::from_secs(20);
/// Processors that run besides the query service.
const PROCESSORS: [&str; 2] = ["analytics", "recommendation"];

#[derive(Args, Clone, Debug)]
pub struct LatencyArguments {
    /// Load in events a second: one order per four views
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(5..=100_000))]
    rate: u32,
    /// Duration of the measurement in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=3_600))]
    seconds: u32,
    /// Probes a second: events whose visibility is measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    probes: u32,
    /// Minimum number of order lines in the log before
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    lines: u64,
    /// Rebuild analytics and recommendation repeatedly during the second half; the last rebuild is waited for
    #[arg(long)]
    while_rebuilding: bool,
    /// Timeout of a rebuild in seconds
    #[arg(long, default_value_t = 600)]
    limit: u64,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Measures, and removes the shop afterwards.
pub async fn run(arguments: &LatencyArguments) -> anyhow::Result<Report> {
    let programs = ["jangbogo", "query", "replay"];
    build_programs(&[&programs[..], &PROCESSORS].concat()).await?;
    Shop::with(async |shop| measure(shop, arguments).await).await
}

async fn measure(shop: &Shop, arguments: &LatencyArguments) -> anyhow::Result<Report> {
    fill(shop, arguments.lines).await?;
    shop.empty_database().await?;
    let mut services = Services::start(shop)?;
    let settled = tokio::time::timeout(SETTLE_LIMIT, services.settle()).await;
    settled.context("folding the log timed out")??;
    eprintln!("the log is folded; {} events a second from now on", arguments.rate);

    let load = Load::start(&shop.connections, arguments.rate)?;
    let client = ProbeClient::new(&services.base, load.products())?;
    tokio::time::sleep(WARM_UP).await;
    let measured = drive(shop, arguments, &client, load.sender()).await;
    let load = load.stop().await?;
    services.processes.ensure_running()?;
    services.processes.stop().await?;
    let (probes, rebuilds) = measured?;
    Ok(Report::new(arguments.rate, load, &probes, rebuilds))
}

/// Sends probes at their rate, and rebuilds meanwhile if requested.
async fn drive(
    shop: &Shop,
    arguments: &LatencyArguments,
    client: &ProbeClient,
    sender: load::Sender,
) -> anyhow::Result<(Vec<Probe>, Vec<RebuildOutcome>)> {
    let whole = Duration::from_secs(arguments.seconds.into());
    let started = Instant::now();
    let enough = CancellationToken::new();
    let step = Step::default();
    let rebuilding = async {
        if !arguments.while_rebuilding {
            tokio::time::sleep(whole).await;
            enough.cancel();
            return Ok(Vec::new());
        }
        tokio::time::sleep(whole / 2).await;
        let rebuilt = rebuild_until(shop, started + whole, Duration::from_secs(arguments.limit), &step).await;
        enough.cancel();
        rebuilt
    };
    let probing = async {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / arguments.probes);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        let mut number = 0_u64;
        loop {
            tokio::select! {
                () = enough.cancelled() => break,
                _ = tick.tick() => {}
            }
            under_way.spawn(client.clone().probe(number, step.now(), sender.clone()));
            number += 1;
        }
        let mut probes = Vec::new();
        let gathered = tokio::time::timeout(PROBE_LIMIT, async {
            while let Some(probe) = under_way.join_next().await {
                probes.push(probe??);
            }
            anyhow::Ok(())
        });
        gathered.await.context("probes timed out")??;
        anyhow::Ok(probes)
    };
    let (rebuilds, probes) = tokio::join!(rebuilding, probing);
    Ok((probes?, rebuilds?))
}

/// Rebuilds repeatedly until the time is up; the first rebuild is always completed.
async fn rebuild_until(
    shop: &Shop,
    until: Instant,
    limit: Duration,
    step: &Step,
) -> anyhow::Result<Vec<RebuildOutcome>> {
    let mut outcomes = Vec::new();
    while outcomes.is_empty() || Instant::now() < until {
        let mut command = shop.command(sibling("replay")?);
        command.arg("rebuild").args(PROCESSORS).arg("--json");
        step.follow(&mut command)?;
        let ended = crate::rebuild::run_program(&mut command, limit).await;
        let failed = ended.is_err();
        match &ended {
            Ok(ended) => eprintln!("a rebuild took {:.2} s", ended.took.as_secs_f64()),
            Err(error) => eprintln!("a rebuild failed: {error:#}"),
        }
        outcomes.push(ended.map(|ended| ended.took.as_secs_f64()).map_err(|error| format!("{error:#}")));
        if failed {
            break;
        }
    }
    Ok(outcomes)
}

/// The processors and the query service.
struct Services {
    processes: Processes,
    /// Base URL of the query service.
    base: String,
    client: reqwest::Client,
}

impl Services {
    fn start(shop: &Shop) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut processes = Processes::default();
        for name in PROCESSORS {
            processes.start(name, &mut shop.command(sibling(name)?))?;
        }
        processes.start("query", shop.command(sibling("query")?).args(["--listen", &address]))?;
        let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).build()?;
        Ok(Self { processes, base: format!("http://{address}"), client })
    }

    /// Waits until the log is folded and published.
    async fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            self.processes.ensure_running()?;
            let mut settled = true;
            for name in PROCESSORS {
                let url = format!("{}/v1/pipeline/{name}", self.base);
                let Ok(answer) = self.client.get(url).send().await else {
                    settled = false;
                    continue;
                };
                let state: serde_json::Value = answer.json().await.unwrap_or_default();
                settled &= state["settled"].as_bool().unwrap_or(false);
            }
            if settled {
                return Ok(());
            }
        }
    }
}
