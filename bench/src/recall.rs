//! Recall and latency of vector indexes, compared with an exact search.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;
use jangbogo_embedding::Purpose;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelsArgs};
use jangbogo_embeddings_server::model::Arithmetic;
use jangbogo_platform::vector_index::VectorIndex;
use reqwest::Client;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::embed::{load, products};
use crate::report::{percentile, table};
use crate::shop::Shop;

const NEAREST: usize = 10;
/// Number of a title's words that form a query.
const WORDS: usize = 4;
/// Number of documents of a bulk request, and of rows of a statement.
const CHUNK: usize = 500;

#[derive(Args, Clone, Debug)]
pub struct RecallArguments {
    /// File of the electronics catalogue
    #[arg(long, default_value = "../shared/data/electronics-catalog/products.jsonl.gz", value_name = "FILE")]
    catalogue: PathBuf,
    /// Name of the embedding model
    #[arg(long, default_value = DEFAULT_MODEL, value_name = "NAME")]
    model: String,
    /// Number of searches
    #[arg(long, default_value = "500")]
    searches: NonZeroUsize,
    /// Numbers of candidates to measure, instead of the number of a shop's searches
    #[arg(long, value_delimiter = ',', value_name = "CANDIDATES")]
    candidates: Vec<u16>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    models: ModelsArgs,
    #[command(flatten)]
    vector_index: VectorIndex,
}

impl RecallArguments {
    /// The given numbers, else the number of a shop's searches.
    fn candidates(&self, of_shop: u16) -> Vec<u16> {
        if self.candidates.is_empty() { vec![of_shop] } else { self.candidates.clone() }
    }
}

#[derive(Debug, Serialize)]
pub struct RecallReport {
    model: String,
    vectors: usize,
    searches: usize,
    /// Build parameters of all indexes.
    m: u16,
    ef_construction: u16,
    found: Vec<IndexResult>,
}

/// Result of one index with a number of candidates.
#[derive(Debug, Serialize)]
struct IndexResult {
    index: &'static str,
    /// None for an exact search.
    candidates: Option<u16>,
    /// Fraction of the nearest vectors that were found.
    recall: f64,
    p50_milliseconds: f64,
    p95_milliseconds: f64,
}

struct Vectors {
    all: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    /// Indices of the nearest vectors of each query.
    nearest: Vec<HashSet<usize>>,
}

pub async fn run(arguments: &RecallArguments) -> anyhow::Result<RecallReport> {
    arguments.vector_index.check()?;
    let vectors = Vectors::compute(arguments)?;
    Shop::with(async |shop| {
        let mut found = Vec::new();
        shop.empty_database().await?;
        postgres(&mut shop.database().await?, arguments, &vectors, &mut found).await.context("pgvector failed")?;
        for (name, kind) in [("Elasticsearch, floats", "hnsw"), ("Elasticsearch, bytes", "int8_hnsw")] {
            let url = format!("{}/{}_{kind}", shop.connections.elasticsearch, shop.connections.namespace);
            let searched = elasticsearch(&url, (name, kind), arguments, &vectors, &mut found).await;
            Client::new().delete(&url).send().await?;
            searched.with_context(|| format!("{name} failed"))?;
        }
        Ok(RecallReport {
            model: arguments.model.clone(),
            vectors: vectors.all.len(),
            searches: vectors.queries.len(),
            m: arguments.vector_index.m,
            ef_construction: arguments.vector_index.ef_construction,
            found,
        })
    })
    .await
}

impl Vectors {
    fn compute(arguments: &RecallArguments) -> anyhow::Result<Self> {
        let models = arguments.models.directory()?;
        let spec = models.find(&arguments.model)?;
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let model = load(&models, spec, Arithmetic::Int8, threads)?;
        let embed = |purpose, texts: &[String]| -> anyhow::Result<Vec<Vec<f32>>> {
            let texts: Vec<_> = texts.iter().map(|text| spec.prompts.before(purpose, text)).collect();
            Ok(model.embed_batch(&texts.iter().map(|text| &**text).collect::<Vec<_>>())?.vectors)
        };
        let products =
            products(&arguments.catalogue).with_context(|| format!("cannot read {}", arguments.catalogue.display()))?;
        let step = products.len().div_ceil(arguments.searches.get()).max(1);
        let words = |title: &str| title.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ");
        let queries: Vec<String> = products.iter().step_by(step).map(|(title, _)| words(title)).collect();
        let texts: Vec<String> = products.iter().map(|(title, rest)| format!("{title}. {rest}")).collect();
        let began = Instant::now();
        let (all, queries) = (embed(Purpose::Passage, &texts)?, embed(Purpose::Query, &queries)?);
        eprintln!("{} vectors took {:.1} s", all.len() + queries.len(), began.elapsed().as_secs_f64());
        let nearest = queries.iter().map(|query| nearest(query, &all)).collect();
        Ok(Self { all, queries, nearest })
    }

    /// Runs all queries and records recall and latency.
    async fn search(
        &self,
        index: &'static str,
        candidates: Option<u16>,
        mut search: impl AsyncFnMut(&[f32]) -> anyhow::Result<Vec<usize>>,
    ) -> anyhow::Result<IndexResult> {
        let (mut times, mut hits) = (Vec::new(), 0);
        // The first ones warm the caches up.
        for query in self.queries.iter().take(50) {
            search(query).await?;
        }
        for (query, nearest) in self.queries.iter().zip(&self.nearest) {
            let start = Instant::now();
            let found = search(query).await?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            hits += found.iter().filter(|number| nearest.contains(number)).count();
        }
        times.sort_unstable_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of some thousands")]
        let recall = hits as f64 / (self.queries.len() * NEAREST) as f64;
        let (p50_milliseconds, p95_milliseconds) = (percentile(&times, 50), percentile(&times, 95));
        let found = IndexResult { index, candidates, recall, p50_milliseconds, p95_milliseconds };
        eprintln!("{index}, {}: recall {recall:.4}", candidates.map_or("all".to_owned(), |it| it.to_string()));
        Ok(found)
    }
}

/// Indices of the unit vectors with the largest cosines.
fn nearest(query: &[f32], all: &[Vec<f32>]) -> HashSet<usize> {
    let cosine = |vector: &Vec<f32>| query.iter().zip(vector).map(|(one, other)| one * other).sum::<f32>();
    let mut cosines: Vec<(f32, usize)> = all.iter().map(cosine).zip(0..).collect();
    cosines.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
    cosines.into_iter().take(NEAREST).map(|(_, number)| number).collect()
}

fn literal(vector: &[f32]) -> String {
    format!("[{}]", vector.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

async fn postgres(
    database: &mut PgConnection,
    arguments: &RecallArguments,
    vectors: &Vectors,
    found: &mut Vec<IndexResult>,
) -> anyhow::Result<()> {
    database.execute("CREATE TABLE recall (number bigint PRIMARY KEY, vector vector(384) NOT NULL)").await?;
    for (chunk, first) in vectors.all.chunks(CHUNK).zip((0_i64..).step_by(CHUNK)) {
        let numbers: Vec<i64> = (first..).take(chunk.len()).collect();
        let texts: Vec<String> = chunk.iter().map(|vector| literal(vector)).collect();
        sqlx::query("INSERT INTO recall SELECT number, text::vector FROM unnest($1::bigint[], $2::text[]) AS row (number, text)")
            .bind(numbers)
            .bind(texts)
            .execute(&mut *database)
            .await?;
    }
    let sql = format!("SELECT number FROM recall ORDER BY vector <=> $1::text::vector LIMIT {NEAREST}");
    let search = async |database: &mut PgConnection, query: &[f32]| -> anyhow::Result<Vec<usize>> {
        let numbers: Vec<i64> = sqlx::query_scalar(&sql).bind(literal(query)).fetch_all(database).await?;
        Ok(numbers.into_iter().filter_map(|number| number.try_into().ok()).collect())
    };
    found.push(vectors.search("pgvector", None, async |query| search(&mut *database, query).await).await?);
    let index = format!(
        "CREATE INDEX ON recall USING hnsw (vector vector_cosine_ops) WITH ({}); ANALYZE recall",
        arguments.vector_index.storage_parameters()
    );
    database.execute(sqlx::raw_sql(&index)).await?;
    database.clear_cached_statements().await?;
    for candidates in arguments.candidates(arguments.vector_index.ef_search) {
        database.execute(sqlx::raw_sql(&format!("SET hnsw.ef_search = {candidates}"))).await?;
        let search = async |query: &[f32]| search(&mut *database, query).await;
        found.push(vectors.search("pgvector", Some(candidates), search).await?);
    }
    Ok(())
}

async fn elasticsearch(
    url: &str,
    (name, kind): (&'static str, &'static str),
    arguments: &RecallArguments,
    vectors: &Vectors,
    found: &mut Vec<IndexResult>,
) -> anyhow::Result<()> {
    let client = Client::new();
    let mut options = arguments.vector_index.index_options();
    options["type"] = kind.into();
    let vector = json!({ "type": "dense_vector", "dims": 384, "similarity": "cosine", "index_options": options });
    let number = json!({ "type": "long" });
    let index = json!({
        "settings": { "number_of_shards": 1, "number_of_replicas": 0 },
        "mappings": { "properties": { "number": number, "vector": vector } },
    });
    let answered = async |request: reqwest::RequestBuilder| -> anyhow::Result<Value> {
        let response = request.send().await?;
        let (status, answer) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{status}: {answer:.300}");
        Ok(serde_json::from_str(&answer)?)
    };
    answered(client.put(url).json(&index)).await?;
    for (chunk, first) in vectors.all.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
        let mut body = String::new();
        for (number, vector) in (first..).zip(chunk) {
            // Writing to a String cannot fail.
            let _ = writeln!(body, "{{\"index\":{{}}}}\n{}", json!({ "number": number, "vector": vector }));
        }
        let bulk = client.post(format!("{url}/_bulk")).header("content-type", "application/x-ndjson").body(body);
        ensure!(answered(bulk).await?["errors"] == json!(false), "documents were rejected");
    }
    answered(client.post(format!("{url}/_refresh"))).await?;
    for candidates in arguments.candidates(arguments.vector_index.candidates) {
        let search = async |query: &[f32]| -> anyhow::Result<Vec<usize>> {
            let knn = json!({ "field": "vector", "query_vector": query, "k": NEAREST, "num_candidates": candidates });
            let body = json!({
                "knn": knn, "size": NEAREST, "docvalue_fields": ["number"], "stored_fields": "_none_",
            });
            let answer = answered(client.post(format!("{url}/_search")).json(&body)).await?;
            let hits = answer["hits"]["hits"].as_array().into_iter().flatten();
            let number = |hit: &Value| hit["fields"]["number"][0].as_u64()?.try_into().ok();
            Ok(hits.filter_map(number).collect())
        };
        found.push(vectors.search(name, Some(candidates), search).await?);
    }
    Ok(())
}

impl RecallReport {
    pub fn to_text(&self) -> String {
        let rows = self.found.iter().map(|found| {
            [
                found.index.to_owned(),
                found.candidates.map_or_else(|| "all".to_owned(), |candidates| candidates.to_string()),
                format!("{:.4}", found.recall),
                format!("{:.2}", found.p50_milliseconds),
                format!("{:.2}", found.p95_milliseconds),
            ]
        });
        format!(
            "{} searches among {} vectors of {}; m {}, ef_construction {}\n{}",
            self.searches,
            self.vectors,
            self.model,
            self.m,
            self.ef_construction,
            table(["", "candidates", "recall@10", "p50, ms", "p95, ms"], rows)
        )
    }
}
