//! Throughput and latency of embedding texts, compared with other programs.

mod contestant;
mod report;
mod texts;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jangbogo_embedding::registry::ModelsArgs;

use self::contestant::{Contestant, Measured};

pub use self::contestant::load;
pub use self::report::EmbedReport;
pub use self::texts::products;
use self::texts::texts;

#[derive(Args, Clone, Debug)]
pub struct EmbedArguments {
    /// Number of rounds; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds per list of texts and round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Threads per program
    #[arg(long, default_value = "2")]
    threads: NonZeroUsize,
    /// Programs to measure [default: all but sentence-transformers, which downloads gigabytes]
    #[arg(long = "contestant", value_enum)]
    contestants: Vec<Contestant>,
    /// File of the electronics catalogue
    #[arg(long, default_value = "../shared/data/electronics-catalog/products.jsonl.gz", value_name = "FILE")]
    catalogue: PathBuf,
    /// Directory of the STS files
    #[arg(long, default_value = "../shared/data/sts", value_name = "FOLDER")]
    sentences: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    models: ModelsArgs,
}

pub async fn run(arguments: &EmbedArguments) -> anyhow::Result<EmbedReport> {
    let contestants = match &arguments.contestants[..] {
        [] => Contestant::usual(),
        named => named.to_vec(),
    };
    let models = arguments.models.directory()?;
    let lists = texts(&models, &arguments.catalogue, &arguments.sentences)?;
    let file = tempfile::NamedTempFile::new().context("cannot write texts into a file")?;
    let by_name: std::collections::BTreeMap<_, _> = lists.iter().map(|list| (list.name, &list.texts)).collect();
    serde_json::to_writer(&file, &by_name)?;
    let mut rounds: Vec<Vec<Measured>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=arguments.rounds {
        for (contestant, measured) in contestants.iter().zip(&mut rounds) {
            let limit = Duration::from_secs(arguments.seconds.into());
            let one = contestant.measure(&models, &lists, file.path(), arguments.threads, limit).await;
            measured.push(one.with_context(|| format!("{} failed", contestant.name()))?);
            eprintln!("round {round}: {} is done", contestant.name());
        }
    }
    Ok(EmbedReport::new(arguments.rounds, arguments.threads, &lists, &contestants, &rounds))
}
