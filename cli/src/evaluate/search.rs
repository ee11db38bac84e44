//! `jangbogo evaluate search`: nDCG of a running shop's search.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::queries::{LISTED, Query};
use super::ranks::mean;
use crate::output::{align_numbers, print_report, table};

const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Sends the Korean queries to a running demo shop
///
/// The 130 queries in `cli/data/korean-queries.jsonl` go to `/v1/search` of the query service, one after another. It
/// searches by words, by the lexicon's translation into English, and by vectors.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example, with the demo shop in another terminal:
  EMBEDDING_MODEL=multilingual-e5-small jangbogo demo
  jangbogo evaluate search --worst 20")]
pub struct Arguments {
    /// URL of the query service
    #[arg(long, default_value = "http://127.0.0.1:8081", value_name = "URL")]
    query: String,
    /// Also show this number of queries with the lowest nDCG
    #[arg(long, default_value_t = 0, value_name = "QUERIES")]
    worst: usize,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Evaluation {
    queries: usize,
    ndcg: f64,
    empty: usize,
    /// Queries that were searched by words alone, because the embedder was unavailable.
    without_meaning: usize,
    median_ms: f64,
    worst: Vec<QueryResult>,
}

#[derive(Serialize)]
struct QueryResult {
    query: String,
    translation: Option<String>,
    products: usize,
    ndcg: f64,
}

/// The fields of a response that are used.
#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
    translation: Option<String>,
    searched_by: String,
}

#[derive(Deserialize)]
struct Item {
    product: Product,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
}

/// Sends the queries and prints a report.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).no_proxy().build()?;
    let (mut results, mut milliseconds, mut without_meaning) = (Vec::new(), Vec::new(), 0);
    for query in Query::all()? {
        let began = Instant::now();
        let request = client.get(format!("{}/v1/search", arguments.query.trim_end_matches('/')));
        let request = request.query(&[("q", query.query.as_str()), ("limit", &LISTED.to_string())]);
        let answer = request
            .send()
            .await
            .context("the query service is unavailable; `jangbogo demo` runs one, --query names another")?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "the query service answered {status} to «{}»: {}",
            query.query,
            answer.text().await?
        );
        let answer: Answer = answer.json().await.context("the query service's response is not a list of products")?;
        milliseconds.push(began.elapsed().as_secs_f64() * 1_000.0);
        without_meaning += usize::from(answer.searched_by != "words-and-meaning");
        let ndcg = query.gain(answer.items.iter().map(|item| item.product.product_id.as_str()));
        results.push(QueryResult {
            query: query.query,
            translation: answer.translation,
            products: answer.items.len(),
            ndcg,
        });
    }
    results.sort_by(|one, other| one.ndcg.total_cmp(&other.ndcg));
    milliseconds.sort_by(f64::total_cmp);
    let evaluation = Evaluation {
        queries: results.len(),
        ndcg: mean(&results.iter().map(|result| result.ndcg).collect::<Vec<_>>()),
        empty: results.iter().filter(|result| result.products == 0).count(),
        without_meaning,
        median_ms: milliseconds[milliseconds.len() / 2],
        worst: results.into_iter().take(arguments.worst).collect(),
    };
    print_report(arguments.json, &evaluation)
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queries, ndcg, empty, without_meaning, median_ms, worst } = self;
        writeln!(
            formatter,
            "{queries} Korean queries: nDCG@{LISTED} {ndcg:.3}; {empty} without a result; median {median_ms:.0} ms"
        )?;
        if *without_meaning > 0 {
            writeln!(
                formatter,
                "{without_meaning} were searched by words alone: the embedding service was unavailable"
            )?;
        }
        if worst.is_empty() {
            return Ok(());
        }
        let mut rows = table(["Query", "In English", "Products", "nDCG@10"]);
        for QueryResult { query, translation, products, ndcg } in worst {
            let english = translation.clone().unwrap_or_default();
            rows.add_row([query.clone(), english, products.to_string(), format!("{ndcg:.3}")]);
        }
        align_numbers(&mut rows, 2);
        writeln!(formatter, "{rows}")
    }
}
