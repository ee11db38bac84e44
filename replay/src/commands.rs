//! Commands about generations: their arguments and output.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jangbogo_fold::Processor;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_platform::progress::ProgressReporter;
use jangbogo_processors::PROCESSORS;
use jangbogo_publish as publisher;
use jangbogo_read::GenerationId;
use jangbogo_store::{Stored, behind, generations, positions};
use serde_json::json;
use sqlx::ConnectOptions as _;

use crate::context::Context as ReplayContext;
use crate::error::ReplayError;
use crate::projection_replay::{CutOverOptions, ProjectionReplay, Verified};

const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Projections that a command is about.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct Selection {
    /// Processors that own the projections
    #[arg(value_name = "PROJECTION", value_parser = processor_named)]
    projections: Vec<&'static Processor>,
    /// The projections of every processor
    #[arg(long, conflicts_with = "projections")]
    all: bool,
}

impl Selection {
    fn processors(&self) -> Vec<&'static Processor> {
        if self.all {
            return PROCESSORS.to_vec();
        }
        let is_selected = |processor: &&&Processor| self.projections.iter().any(|one| one.name == processor.name);
        PROCESSORS.iter().filter(is_selected).copied().collect()
    }
}

fn processor_named(name: &str) -> Result<&'static Processor, String> {
    let names = || PROCESSORS.iter().map(|processor| processor.name).collect::<Vec<_>>().join(", ");
    jangbogo_processors::processor(name).ok_or_else(|| format!("there is no such projection; there are: {}", names()))
}

/// Limits and output of a fold.
#[derive(Args, Clone, Debug)]
pub struct RateLimits {
    /// Upper limit of folded events a second [default: no limit]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: Option<u32>,
    /// Number of concurrent folds [default: processor cores + 1, since each waits for Postgres at times]
    #[arg(long, value_name = "FOLDS", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallelism: Option<u16>,
    /// Print progress and result as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

impl RateLimits {
    fn replays(
        &self,
        connections: &Connections,
        processors: &[&'static Processor],
    ) -> Result<Vec<ProjectionReplay>, ReplayError> {
        let reporter = if self.json { ProgressReporter::json() } else { ProgressReporter::on_standard_error() };
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let parallelism = self.parallelism.map_or(cores + 1, usize::from);
        let max_rate = self.max_rate.map(f64::from);
        let together: Vec<String> = processors.iter().map(|processor| processor.name.to_owned()).collect();
        let replay = |processor: &&'static Processor| {
            let progress = reporter.task(processor.name, "events");
            ProjectionReplay::new(connections, processor, progress, parallelism, max_rate, together.clone())
        };
        processors.iter().map(replay).collect()
    }
}

/// Folds the log into a generation beside the live one, compares the two, and cuts over to the new one.
#[derive(Args, Clone, Debug)]
pub struct RebuildArguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    limits: RateLimits,
    /// Only print what would be folded
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
    selection: Selection,
    #[command(flatten)]
    limits: RateLimits,
}

/// Folds the events up to a time in the past.
#[derive(Args, Clone, Debug)]
pub struct AtArguments {
    /// The time, compared with the times of the events: 2010-11-30T00:00:00Z
    #[arg(value_name = "TIME")]
    time: DateTime<Utc>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    limits: RateLimits,
}

#[derive(Args, Clone, Debug)]
pub struct ServeArguments {
    #[command(flatten)]
    selection: Selection,
    /// Id of the generation, or its last characters [default: the newest candidate]
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    generation: Option<GenerationId>,
    /// Print progress and result as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

/// Removes a generation that is not live.
#[derive(Args, Clone, Debug)]
pub struct DropArguments {
    /// Processor that owns the generation
    #[arg(value_name = "PROJECTION", value_parser = processor_named)]
    projection: &'static Processor,
    /// Id of the generation, or its last characters
    generation: GenerationId,
}

/// Lists generations
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// Processors that own the generations [default: all]
    #[arg(value_name = "PROJECTION", value_parser = processor_named)]
    projections: Vec<&'static Processor>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Retries while a server is unavailable; what was committed is not done again.
async fn with_retries<T, F: Future<Output = Result<T, ReplayError>>>(
    context: &ReplayContext,
    attempt: impl Fn() -> F,
) -> anyhow::Result<T> {
    loop {
        match attempt().await {
            Err(error) if error.is_temporary() => {
                context.progress.println(&format!("{}; retrying", jangbogo_telemetry::causes(&error)));
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            outcome => return outcome.with_context(|| context.processor.name.to_owned()),
        }
    }
}

pub async fn rebuild(arguments: &RebuildArguments, connections: &Connections) -> anyhow::Result<()> {
    database::migrate(connections).await.context("cannot prepare the database")?;
    let replays = arguments.limits.replays(connections, &arguments.selection.processors())?;
    if arguments.dry_run {
        return dry_run(&replays, arguments.limits.json).await;
    }
    let options = CutOverOptions { verify: !arguments.no_verify, promote: !arguments.no_promote };
    for replay in &replays[first_unfinished(&replays).await?..] {
        with_retries(&replay.context, || replay.rebuild(options)).await?;
    }
    Ok(())
}

/// Index of the first replay that an interrupted command for the same projections did not finish: it runs them in
/// order.
async fn first_unfinished(replays: &[ProjectionReplay]) -> Result<usize, ReplayError> {
    for (index, replay) in replays.iter().enumerate() {
        if replay.is_begun().await? {
            return Ok(index);
        }
    }
    Ok(0)
}

async fn dry_run(replays: &[ProjectionReplay], json: bool) -> anyhow::Result<()> {
    let mut table = table(["projection", "partitions", "events in the log", "live generation", "events behind"]);
    for ProjectionReplay { context, .. } in replays {
        let name = context.processor.name;
        let log = context.log_bounds().await.with_context(|| name.to_owned())?;
        let ends = log.iter().map(|(partition, bounds)| (*partition, bounds.end)).collect();
        let events: i64 = log.values().map(|bounds| bounds.end - bounds.begin).sum();
        let live = context.live().await?;
        let lag: i64 = match &live {
            Some(live) => behind(&context.positions(&live.generation).await?, &ends).values().sum(),
            None => events,
        };
        let id = live.map(|live| live.generation.short_id());
        if json {
            println!(
                "{}",
                json!({ "projection": name, "partitions": log.len(), "events": events, "live": id, "behind": lag })
            );
        }
        let id = id.unwrap_or_else(|| "none".to_owned());
        table.add_row([name.to_owned(), log.len().to_string(), events.to_string(), id, lag.to_string()]);
    }
    if !json {
        println!("{table}\n\nNothing was changed. Without --dry-run these events are folded again, and then served.");
    }
    Ok(())
}

pub async fn verify(arguments: &VerifyArguments, connections: &Connections) -> anyhow::Result<()> {
    database::migrate(connections).await.context("cannot prepare the database")?;
    let mut differing = Vec::new();
    for replay in arguments.limits.replays(connections, &arguments.selection.processors())? {
        let context = &replay.context;
        let verified = with_retries(context, || replay.verify()).await?;
        if verified.is_equal() {
            context.progress.finish("equal", "the live generation equals a fresh fold of the log");
            continue;
        }
        differing.push(context.processor.name);
        print_differences(context, &verified, arguments.limits.json);
    }
    anyhow::ensure!(differing.is_empty(), "{} differs from a fresh fold of the log", differing.join(", "));
    Ok(())
}

fn print_differences(context: &ReplayContext, Verified { rows, published }: &Verified, json: bool) {
    let name = context.processor.name;
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
            println!("{name}: {} values are not published yet: does the processor run?", published.unsettled);
        }
    }
    if !rows.is_empty() {
        context.progress.println(&format!("the fresh fold is kept: `replay promote {name}` serves it"));
    }
    let count = rows.iter().map(|difference| difference.rows).sum::<usize>();
    let summary = format!("{count} rows and {} of {} published values differ", published.differing, published.checked);
    context.progress.finish("differs", &summary);
}

pub async fn at(arguments: &AtArguments, connections: &Connections) -> anyhow::Result<()> {
    database::migrate(connections).await.context("cannot prepare the database")?;
    for replay in arguments.limits.replays(connections, &arguments.selection.processors())? {
        let generation = with_retries(&replay.context, || replay.at(arguments.time)).await?;
        let message = format!("as of {}: query it with ?as_of={}", arguments.time, generation.id);
        replay.context.progress.finish("ready", &message);
    }
    Ok(())
}

pub async fn promote(arguments: &ServeArguments, connections: &Connections) -> anyhow::Result<()> {
    for replay in replays_to_serve(arguments, connections)? {
        with_retries(&replay.context, || replay.promote(arguments.generation.as_ref())).await?;
    }
    Ok(())
}

pub async fn rollback(arguments: &ServeArguments, connections: &Connections) -> anyhow::Result<()> {
    for replay in replays_to_serve(arguments, connections)? {
        with_retries(&replay.context, || replay.rollback(arguments.generation.as_ref())).await?;
    }
    Ok(())
}

fn replays_to_serve(
    arguments: &ServeArguments,
    connections: &Connections,
) -> Result<Vec<ProjectionReplay>, ReplayError> {
    let limits = RateLimits { max_rate: None, parallelism: None, json: arguments.json };
    limits.replays(connections, &arguments.selection.processors())
}

pub async fn drop(arguments: &DropArguments, connections: &Connections) -> anyhow::Result<()> {
    let limits = RateLimits { max_rate: None, parallelism: None, json: false };
    for ProjectionReplay { context, .. } in limits.replays(connections, &[arguments.projection])? {
        let (name, stored) = (context.processor.name, context.find(&arguments.generation).await?);
        let id = stored.generation.short_id();
        let mut connection = context.connect().await?;
        context.lock(&mut connection, &stored.generation).await?;
        let is_live = context.live().await?.is_some_and(|live| live.generation.id == stored.generation.id);
        anyhow::ensure!(!is_live, "generation {id} of {name} is live: roll back or promote another one first");
        jangbogo_store::drop_generation(&mut connection, &stored.generation).await?;
        publisher::drop_indexes(connections, context.processor, &stored.generation).await?;
        println!("dropped generation {id} of {name}");
    }
    Ok(())
}

pub async fn list(arguments: &ListArguments, connections: &Connections) -> anyhow::Result<()> {
    let options = database::options(connections, "replay")?.options([("lock_timeout", "500ms")]);
    let mut connection = options.connect().await.context("postgres")?;
    let mut table = table(["projection", "generation", "state", "as of", "fold version", "events", "size", "began"]);
    for Stored { generation, state, as_of, created_at, .. } in generations(&mut connection, None).await? {
        let is_selected = arguments.projections.iter().any(|processor| processor.name == generation.processor);
        if !arguments.projections.is_empty() && !is_selected {
            continue;
        }
        let folded: i64 = positions(&mut connection, &generation).await?.values().sum();
        let size = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
                    JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relkind = 'r'";
        let size = sqlx::query_scalar(size).bind(&generation.schema).fetch_one(&mut connection).await;
        // Unknown while one of its tables is being merged.
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
            as_of.map(|time| time.to_rfc3339()).unwrap_or_default(),
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
