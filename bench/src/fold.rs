//! Speed and memory of folding orders from Kafka into Postgres.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jangbogo_store::{Live, live};
use sqlx::postgres::PgConnection;
use tokio::process::Child;

use super::FoldArguments;
use super::case::{CASES, Case};
use super::limits::{ORDER_TOPICS, copy_rows, count_lines, drain_topics, end_offsets};
use super::processes::{ensure_running, peak_memory_kib, stop};
use super::report::{CaseReport, Report, as_float, median};
use super::shop::{Shop, build_programs, sibling};

/// Polling interval of the checkpoints, which is cheap for Postgres.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Timeout of a processor's progress.
const STANDSTILL_LIMIT: Duration = Duration::from_mins(2);
const PUBLISH_LIMIT: Duration = Duration::from_mins(10);

/// Results of a case in one round.
struct Measured {
    folding: Duration,
    publishing: Option<Duration>,
    peak_kib: u64,
    copying: Duration,
    rows: u64,
}

/// Measures all cases and removes the shop afterwards. Fails if a process under test fails or makes no progress.
pub async fn run(arguments: &FoldArguments) -> anyhow::Result<Report> {
    build_programs(&["jangbogo", "analytics", "recommendation"]).await?;
    Shop::with(async |shop| measure(shop, arguments).await).await
}

async fn measure(shop: &Shop, arguments: &FoldArguments) -> anyhow::Result<Report> {
    shop.import().await?;
    let orders = end_offsets(&shop.connections, ORDER_TOPICS)?.iter().map(|(_, _, end)| *end).sum();
    let cases: Vec<&'static Case> =
        if arguments.cases.is_empty() { CASES.iter().collect() } else { arguments.cases.clone() };
    let lines = count_lines(&shop.connections, ORDER_TOPICS)?;
    let mut drained = Vec::new();
    let mut measured: Vec<Vec<Measured>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=arguments.rounds {
        let draining = drain_topics(&shop.connections, ORDER_TOPICS)?;
        eprintln!("round {round}: a bare consumer took {:.2} s", draining.as_secs_f64());
        drained.push(draining);
        for (case, measured) in cases.iter().zip(&mut measured) {
            let one = measure_case(shop, case, !arguments.no_publishing).await.context(case.name)?;
            eprintln!(
                "round {round}: {} took {:.2} s, COPY of its rows {:.2} s",
                case.name,
                one.folding.as_secs_f64(),
                one.copying.as_secs_f64()
            );
            measured.push(one);
        }
    }
    let drain_seconds = median(drained.iter().map(Duration::as_secs_f64));
    let reports = cases.iter().zip(&measured).map(|(case, rounds)| case_report(case, rounds, lines, drain_seconds));
    Ok(Report {
        rounds: arguments.rounds,
        orders,
        lines,
        drain_seconds,
        drain_lines_per_second: as_float(lines) / drain_seconds,
        cases: reports.collect(),
    })
}

async fn measure_case(shop: &Shop, case: &Case, with_publishing: bool) -> anyhow::Result<Measured> {
    shop.empty_database().await?;
    let mut database = shop.database().await?;
    let mut process = start(shop, case)?;
    let live = wait_for_generation(&mut database, &mut process, case).await?;
    let schema = &live.generation.schema;
    let end = end_offsets(&shop.connections, &case.processor.topics())?.iter().map(|(_, _, end)| *end).sum();
    let started = wait_for_offset(&mut database, &mut process, schema, None).await?;
    let folded = wait_for_offset(&mut database, &mut process, schema, Some(end)).await?;
    let publishing = if with_publishing {
        let published = wait_for_publisher(&mut database, &mut process, schema);
        tokio::time::timeout(PUBLISH_LIMIT, published).await.context("publishing timed out")??;
        Some(started.elapsed())
    } else {
        None
    };
    let peak_kib = process.id().and_then(peak_memory_kib).context("its peak memory is unknown")?;
    stop(case.name, process).await?;
    let (copying, rows) = copy_rows(&mut database, case.processor, &live.generation).await?;
    Ok(Measured { folding: folded - started, publishing, peak_kib, copying, rows })
}

fn start(shop: &Shop, case: &Case) -> anyhow::Result<Child> {
    let mut command = if case.is_program {
        shop.command(sibling(case.processor.name)?)
    } else {
        let mut command = shop.command(std::env::current_exe().context("cannot find this program")?);
        command.args(["processor", case.name]);
        command
    };
    command.spawn().with_context(|| format!("cannot start {}", case.name))
}

async fn wait_for_generation(database: &mut PgConnection, process: &mut Child, case: &Case) -> anyhow::Result<Live> {
    loop {
        if let Some(live) = live(database, case.processor.name).await? {
            return Ok(live);
        }
        ensure_running("it", process)?;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Waits until the sum of the checkpoints' offsets is `target` or, without a target, until the checkpoints are taken
/// over.
async fn wait_for_offset(
    database: &mut PgConnection,
    process: &mut Child,
    schema: &str,
    target: Option<i64>,
) -> anyhow::Result<Instant> {
    let sql = format!("SELECT sum(next_offset)::bigint FROM {schema}.checkpoint");
    let (mut last, mut moved) = (None, Instant::now());
    loop {
        let reached: Option<i64> = sqlx::query_scalar(&sql).fetch_one(&mut *database).await?;
        if reached.is_some() && reached >= target {
            return Ok(Instant::now());
        }
        if reached != last {
            (last, moved) = (reached, Instant::now());
        }
        ensure!(moved.elapsed() < STANDSTILL_LIMIT, "no progress at {reached:?} of {target:?} records");
        ensure_running("it", process)?;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn wait_for_publisher(database: &mut PgConnection, process: &mut Child, schema: &str) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT NOT EXISTS (SELECT FROM {schema}.dirty)
                AND NOT EXISTS (SELECT FROM {schema}.publisher WHERE pending_sweeps <> '{{}}')"
    );
    while !sqlx::query_scalar::<_, bool>(&sql).fetch_one(&mut *database).await? {
        ensure_running("it", process)?;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

fn case_report(case: &Case, rounds: &[Measured], lines: u64, drain_seconds: f64) -> CaseReport {
    let fold_seconds = median(rounds.iter().map(|one| one.folding.as_secs_f64()));
    let copy_seconds = median(rounds.iter().map(|one| one.copying.as_secs_f64()));
    let published: Option<Vec<f64>> = rounds.iter().map(|one| Some(one.publishing?.as_secs_f64())).collect();
    CaseReport {
        name: case.name,
        description: case.description,
        fold_seconds,
        lines_per_second: as_float(lines) / fold_seconds,
        copy_seconds,
        copy_lines_per_second: as_float(lines) / copy_seconds,
        rows: rounds.iter().map(|one| one.rows).max().unwrap_or_default(),
        ratio_to_slower_limit: drain_seconds.max(copy_seconds) / fold_seconds,
        publish_seconds: published.map(median),
        peak_memory_mb: as_float(rounds.iter().map(|one| one.peak_kib).max().unwrap_or_default()) * 1024.0 / 1e6,
    }
}
