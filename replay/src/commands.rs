//! The commands about generations: their arguments, and how they say what came of it.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jangbogo_fold::Processor;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_processors::PROCESSORS;
use jangbogo_publish as publisher;
use jangbogo_read::GenerationId;
use jangbogo_store::{Stored, behind, generations, positions};
use serde_json::json;
use sqlx::ConnectOptions as _;

use crate::error::ReplayError;
use crate::job::Job;
use crate::progress::Board;
use crate::rebuild::{Ending, Verified};

/// Which projections.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct Chosen {
    /// The processors whose projections these are
    #[arg(value_name = "PROJECTION", value_parser = processor_named)]
    projections: Vec<&'static Processor>,
    /// Every processor's
    #[arg(long, conflicts_with = "projections")]
    all: bool,
}

impl Chosen {
    fn processors(&self) -> Vec<&'static Processor> {
        if self.all {
            return PROCESSORS.to_vec();
        }
        let is_chosen = |processor: &&&Processor| self.projections.iter().any(|chosen| chosen.name == processor.name);
        PROCESSORS.iter().filter(is_chosen).copied().collect()
    }
}

fn processor_named(name: &str) -> Result<&'static Processor, String> {
    let names = || PROCESSORS.iter().map(|processor| processor.name).collect::<Vec<_>>().join(", ");
    jangbogo_processors::processor(name).ok_or_else(|| format!("there is no such projection; there are: {}", names()))
}

/// How the log is folded.
#[derive(Args, Clone, Debug)]
pub struct Speed {
    /// At most so many events a second; as many as the machine can if left out
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: Option<u32>,
    /// Folds at a time; if left out one more than there are processor cores, since each waits for Postgres at times
    #[arg(long, value_name = "FOLDS", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallelism: Option<u16>,
    /// Progress and outcome as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

impl Speed {
    fn jobs(&self, connections: &Connections, processors: &[&'static Processor]) -> Result<Vec<Job>, ReplayError> {
        let board = Board::new(self.json);
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let parallelism = self.parallelism.map_or(cores + 1, usize::from);
        let job = |processor: &&'static Processor| {
            let progress = board.projection(processor.name);
            let job = Job::new(connections, processor, progress, parallelism, self.max_rate.map(f64::from))?;
            Ok(Job { together: processors.iter().map(|processor| processor.name.to_owned()).collect(), ..job })
        };
        processors.iter().map(job).collect()
    }
}

/// Folds the log into a generation beside the live one, proves it equal, and switches to it.
#[derive(Args, Clone, Debug)]
pub struct RebuildArguments {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    speed: Speed,
    /// Only say what would be folded
    #[arg(long)]
    dry_run: bool,
    /// Stop when the new generation is complete; `replay promote` serves it
    #[arg(long)]
    no_promote: bool,
    /// Do not compare the new generation with the live one first
    #[arg(long)]
    no_verify: bool,
}

/// Compares what is served with a fresh fold of the log.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    speed: Speed,
}

/// Folds what happened until a moment of the past.
#[derive(Args, Clone, Debug)]
pub struct AtArguments {
    /// The moment, by the shop's event times: 2010-11-30T00:00:00Z
    moment: DateTime<Utc>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    speed: Speed,
}

/// Which generation is to be served.
#[derive(Args, Clone, Debug)]
pub struct ServeArguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Its id, or the end of it; the obvious one if left out
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    generation: Option<GenerationId>,
    /// Progress and outcome as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

/// Which generation is to be removed.
#[derive(Args, Clone, Debug)]
pub struct DropArguments {
    /// The processor whose it is
    #[arg(value_name = "PROJECTION", value_parser = processor_named)]
    projection: &'static Processor,
    /// Its id, or the end of it
    generation: GenerationId,
}

/// Which generations are shown.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// The processors whose they are; all if left out
    #[arg(value_name = "PROJECTION", value_parser = processor_named)]
    projections: Vec<&'static Processor>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Tries for as long as a server is away: what was committed is not done again.
async fn persist<T, F: Future<Output = Result<T, ReplayError>>>(
    job: &Job,
    attempt: impl Fn() -> F,
) -> anyhow::Result<T> {
    loop {
        match attempt().await {
            Err(error) if error.is_temporary() => {
                job.progress.say(&format!("{}; trying again", jangbogo_telemetry::causes(&error)));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            outcome => return outcome.with_context(|| job.processor.name.to_owned()),
        }
    }
}

pub async fn rebuild(arguments: &RebuildArguments, connections: &Connections) -> anyhow::Result<()> {
    database::migrate(connections).await.context("cannot prepare the database")?;
    let jobs = arguments.speed.jobs(connections, &arguments.chosen.processors())?;
    if arguments.dry_run {
        return dry_run(&jobs, arguments.speed.json).await;
    }
    let ending = Ending { verify: !arguments.no_verify, promote: !arguments.no_promote };
    for job in &jobs[finished(&jobs).await?..] {
        persist(job, || job.rebuild(ending)).await?;
    }
    Ok(())
}

/// How many of the jobs an earlier, interrupted command of the same projections has finished: it does one after another.
async fn finished(jobs: &[Job]) -> Result<usize, ReplayError> {
    for (position, job) in jobs.iter().enumerate() {
        if let Some(stored) = job.unpromoted().await?
            && stored.together == job.together
        {
            return Ok(position);
        }
    }
    Ok(0)
}

async fn dry_run(jobs: &[Job], json: bool) -> anyhow::Result<()> {
    let mut table = table(["projection", "partitions", "events in the log", "live generation", "events behind"]);
    for job in jobs {
        let log = job.log().await.with_context(|| job.processor.name.to_owned())?;
        let ends = log.iter().map(|(partition, bounds)| (*partition, bounds.end)).collect();
        let events: i64 = log.values().map(|bounds| bounds.end - bounds.begin).sum();
        let live = job.live().await?;
        let lag: i64 = match &live {
            Some(live) => behind(&job.positions(&live.generation).await?, &ends).values().sum(),
            None => events,
        };
        let id = live.map(|live| live.generation.short_id());
        if json {
            let name = job.processor.name;
            println!(
                "{}",
                json!({ "projection": name, "partitions": log.len(), "events": events, "live": id, "behind": lag })
            );
        }
        let id = id.unwrap_or_else(|| "none".to_owned());
        table.add_row([job.processor.name.to_owned(), log.len().to_string(), events.to_string(), id, lag.to_string()]);
    }
    if !json {
        println!("{table}\n\nNothing was changed. Without --dry-run these events are folded again, and then served.");
    }
    Ok(())
}

pub async fn verify(arguments: &VerifyArguments, connections: &Connections) -> anyhow::Result<()> {
    database::migrate(connections).await.context("cannot prepare the database")?;
    let mut differing = Vec::new();
    for job in arguments.speed.jobs(connections, &arguments.chosen.processors())? {
        let found = persist(&job, || job.verify()).await?;
        if found.is_equal() {
            job.progress.finish("equal", "what is served is what the log says");
            continue;
        }
        differing.push(job.processor.name);
        say_what_differs(&job, &found, arguments.speed.json);
    }
    anyhow::ensure!(differing.is_empty(), "{} is not what the log says", differing.join(", "));
    Ok(())
}

fn say_what_differs(job: &Job, Verified { rows, published }: &Verified, json: bool) {
    let name = job.processor.name;
    if json {
        println!("{}", json!({ "projection": name, "rows": rows, "published": published }));
    } else {
        for difference in rows {
            println!("{name}: {}", difference.to_text());
        }
        for difference in &published.samples {
            let publisher::Difference { store, view, key, expected, found } = difference;
            let expected = expected.as_ref().map_or_else(|| "no such key".to_owned(), ToString::to_string);
            println!("{name}: {store} {view}:{key}\n    rows      {expected}\n    published {found}");
        }
        if published.unsettled > 0 {
            println!("{name}: {} values are still to be published: does the processor run?", published.unsettled);
        }
    }
    if !rows.is_empty() {
        job.progress.say(&format!("the fresh fold is kept: `replay promote {name}` serves it"));
    }
    let counted = rows.iter().map(|difference| difference.rows).sum::<usize>();
    let checked =
        format!("{counted} rows and {} of {} published values differ", published.differing, published.checked);
    job.progress.finish("differs", &checked);
}

pub async fn at(arguments: &AtArguments, connections: &Connections) -> anyhow::Result<()> {
    database::migrate(connections).await.context("cannot prepare the database")?;
    for job in arguments.speed.jobs(connections, &arguments.chosen.processors())? {
        let generation = persist(&job, || job.at(arguments.moment)).await?;
        job.progress.finish(
            "ready",
            &format!("as of {}: ask the query service with ?as_of={}", arguments.moment, generation.id),
        );
    }
    Ok(())
}

pub async fn promote(arguments: &ServeArguments, connections: &Connections) -> anyhow::Result<()> {
    for job in serving(arguments, connections)? {
        persist(&job, || job.promote(arguments.generation.as_ref())).await?;
    }
    Ok(())
}

pub async fn rollback(arguments: &ServeArguments, connections: &Connections) -> anyhow::Result<()> {
    for job in serving(arguments, connections)? {
        persist(&job, || job.rollback(arguments.generation.as_ref())).await?;
    }
    Ok(())
}

fn serving(arguments: &ServeArguments, connections: &Connections) -> Result<Vec<Job>, ReplayError> {
    let speed = Speed { max_rate: None, parallelism: None, json: arguments.json };
    speed.jobs(connections, &arguments.chosen.processors())
}

pub async fn drop(arguments: &DropArguments, connections: &Connections) -> anyhow::Result<()> {
    let speed = Speed { max_rate: None, parallelism: None, json: false };
    for job in speed.jobs(connections, &[arguments.projection])? {
        let stored = job.find(&arguments.generation).await?;
        let id = stored.generation.short_id();
        let mut connection = job.connect().await?;
        job.lock(&mut connection, &stored.generation).await?;
        let is_live = job.live().await?.is_some_and(|live| live.generation.id == stored.generation.id);
        anyhow::ensure!(
            !is_live,
            "generation {id} of {} is live: roll back or promote another one first",
            job.processor.name
        );
        jangbogo_store::drop_generation(&mut connection, &stored.generation).await?;
        publisher::drop_indexes(connections, job.processor, &stored.generation).await?;
        println!("generation {id} of {} is gone", job.processor.name);
    }
    Ok(())
}

pub async fn list(arguments: &ListArguments, connections: &Connections) -> anyhow::Result<()> {
    let options = database::options(connections, "replay")?.options([("lock_timeout", "500ms")]);
    let mut connection = options.connect().await.context("postgres")?;
    let mut table = table(["projection", "generation", "state", "as of", "fold version", "events", "size", "began"]);
    for Stored { generation, state, as_of, created_at, .. } in generations(&mut connection, None).await? {
        let is_chosen = arguments.projections.iter().any(|chosen| chosen.name == generation.processor);
        if !arguments.projections.is_empty() && !is_chosen {
            continue;
        }
        let folded: i64 = positions(&mut connection, &generation).await?.values().sum();
        let size = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
                    JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relkind = 'r'";
        let size = sqlx::query_scalar(size).bind(&generation.schema).fetch_one(&mut connection).await;
        // Not known while one of its tables is merged.
        let size: Option<i64> = match size {
            Err(error) if database::is_lock_timeout(&error) => None,
            size => Some(size?),
        };
        if arguments.json {
            let line = json!({
                "projection": generation.processor, "generation": generation.id, "state": state.name(), "as_of": as_of,
                "fold_version": generation.fold_version, "events": folded, "bytes": size, "created_at": created_at,
            });
            println!("{line}");
        }
        table.add_row([
            generation.processor.clone(),
            generation.short_id(),
            state.to_string(),
            as_of.map(|moment| moment.to_rfc3339()).unwrap_or_default(),
            generation.fold_version.clone(),
            folded.to_string(),
            size.map_or("?".to_owned(), |size| indicatif::HumanBytes(size.unsigned_abs()).to_string()),
            created_at.format("%F %T").to_string(),
        ]);
    }
    if !arguments.json {
        println!("{table}");
    }
    Ok(())
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    table
}
