//! Speed of a rebuild, compared with the machine's limits and other stream processors.

mod contestant;
mod copy;
mod log;
mod peers;
mod process;
mod repeat;
mod report;
mod rows;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum as _};
use sqlx::postgres::PgConnection;

pub use self::contestant::Contestant;
use self::contestant::Role;
pub use self::log::fill;
use self::peers::Peers;
pub use self::process::run as run_program;
pub use self::report::Report;
use self::rows::{Rows, Sums};
use crate::limits::{COPY_SCHEMA, ORDER_TOPICS, drain_topics};
use crate::shop::{Shop, build_programs, sibling};

#[derive(Args, Clone, Debug)]
pub struct RebuildArguments {
    /// Minimum number of order lines: the demo shop's year, repeated with other members, orders and days
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    lines: u64,
    /// Number of rounds; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Contestants to measure [default: all]
    #[arg(long = "contestant", value_enum)]
    contestants: Vec<Contestant>,
    /// Timeout of a contestant in seconds, after which it is killed and reported
    #[arg(long, default_value_t = 900)]
    limit: u64,
    /// Remove the log afterwards instead of keeping it for the next run
    #[arg(long)]
    discard: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Result of one contestant in one round.
#[derive(Clone, Debug)]
pub struct Measured {
    took: Duration,
    peak_kib: Option<u64>,
    /// Sums of its tables, if they are those of [`rows::TABLES`].
    sums: Option<Sums>,
}

/// A contestant's results or errors in all rounds.
type Rounds = Vec<Result<Measured, String>>;

/// Measures all contestants; one that fails is part of the report. Keeps the log and an empty database for the next run
/// unless the options say otherwise.
pub async fn run(arguments: &RebuildArguments) -> anyhow::Result<Report> {
    let contestants: Vec<Contestant> = if arguments.contestants.is_empty() {
        Contestant::value_variants().to_vec()
    } else {
        arguments.contestants.clone()
    };
    let ours_competes = contestants.iter().any(|one| matches!(one.role(), Role::Ours | Role::OursApart));
    build_programs(if ours_competes { &["jangbogo", "replay"] } else { &["jangbogo"] }).await?;
    let peers = Peers::build(&contestants).await?;
    let shop = log::filled(arguments.lines).await?;
    let report = measure(&shop, &peers, &contestants, arguments).await;
    let emptied = shop.empty_stores().await;
    if arguments.discard {
        log::remove(shop).await?;
    }
    let report = report?;
    emptied?;
    Ok(report)
}

/// Removes every log that was kept for a next run.
pub async fn clean() -> anyhow::Result<()> {
    let connections = Shop::connections("bench").await?;
    for name in log::remove_all(&connections).await? {
        eprintln!("removed {name}");
    }
    Ok(())
}

async fn measure(
    shop: &Shop,
    peers: &Peers,
    contestants: &[Contestant],
    arguments: &RebuildArguments,
) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir_in(sibling("peers")?).context("cannot create a folder for rows")?;
    let rows = Rows::write(&shop.connections, folder.path())?;
    eprintln!("{} lines in {} orders and cancellations", rows.lines, rows.records);
    let limit = Duration::from_secs(arguments.limit);
    let mut measured: Vec<(Contestant, Rounds)> = contestants.iter().map(|one| (*one, Vec::new())).collect();
    for round in 1..=arguments.rounds {
        for (contestant, rounds) in &mut measured {
            shop.empty_stores().await?;
            let one = compete(shop, peers, &rows, *contestant, limit).await.map_err(|error| format!("{error:#}"));
            match &one {
                Ok(one) => eprintln!("round {round}: {} took {:.2} s", contestant.name(), one.took.as_secs_f64()),
                Err(error) => eprintln!("round {round}: {} failed: {error}", contestant.name()),
            }
            rounds.push(one);
        }
    }
    Ok(Report::new(arguments.rounds, &rows, &measured))
}

async fn compete(
    shop: &Shop,
    peers: &Peers,
    rows: &Rows,
    contestant: Contestant,
    limit: Duration,
) -> anyhow::Result<Measured> {
    let mut database = shop.database().await?;
    match contestant {
        Contestant::Consumer => {
            Ok(Measured { took: drain_topics(&shop.connections, ORDER_TOPICS)?, peak_kib: None, sums: None })
        }
        Contestant::Copy | Contestant::CopyIndexesLast => {
            let indexes_last = contestant == Contestant::CopyIndexesLast;
            let took = copy::copy(&mut database, COPY_SCHEMA, rows, indexes_last).await?;
            Ok(Measured { took, peak_kib: None, sums: Some(Sums::from_schema(&mut database, COPY_SCHEMA).await?) })
        }
        Contestant::KafkaStreams | Contestant::KafkaStreamsTransactional | Contestant::QuixStreams => {
            let ended = peers.run(shop, contestant, limit).await?;
            let sums = Sums::from_schema(&mut database, peers::SCHEMA).await?;
            Ok(Measured { took: ended.took, peak_kib: Some(ended.peak_kib), sums: Some(sums) })
        }
        Contestant::Analytics | Contestant::Recommendation => {
            let processor = contestant.name();
            let mut command = shop.command(sibling("replay")?);
            command.args(["rebuild", &processor, "--json"]);
            let ended = run_program(&mut command, limit).await?;
            let schema = newest_generation(&mut database, &processor).await?;
            let sums = match contestant {
                Contestant::Analytics => Some(Sums::from_schema(&mut database, &schema).await?),
                _ => None,
            };
            Ok(Measured { took: ended.took, peak_kib: Some(ended.peak_kib), sums })
        }
    }
}

async fn newest_generation(database: &mut PgConnection, processor: &str) -> anyhow::Result<String> {
    let sql = "SELECT schema_name FROM generation WHERE processor = $1 ORDER BY generation DESC LIMIT 1";
    let schema = sqlx::query_scalar(sql).bind(processor).fetch_optional(database).await?;
    schema.with_context(|| format!("{processor} has no generation"))
}
