//! Compares the rows of two folds of the same events, by digests and then by the buckets that differ.

use std::collections::{BTreeMap, BTreeSet};

use jangbogo_fold::Processor;
use jangbogo_store::Generation;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::error::ReplayError;

/// Number of buckets of keys' hashes; rows are compared bucket by bucket to bound memory. A power of two.
const BUCKETS: usize = 256;
/// Number of differing rows shown per table.
const SAMPLES: usize = 5;

/// Differing rows of one table.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub table: String,
    /// Number of rows that differ or are missing on one side.
    pub rows: usize,
    /// The first few of them.
    pub samples: Vec<Sample>,
}

/// A row that differs or is missing on one side.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Key of the row, as Postgres prints it.
    pub key: String,
    /// Row of the live generation, if there is one.
    pub live: Option<String>,
    /// Row of the fresh fold, if there is one.
    pub folded: Option<String>,
}

/// A table to compare: a projection's, or one of the engine's own.
struct ComparedTable {
    name: &'static str,
    columns: &'static str,
    key: String,
}

fn compared_tables(processor: &Processor) -> Vec<ComparedTable> {
    let tables = processor.tables().map(|table| {
        let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
        ComparedTable { name: table.name, columns: "*", key: key.join(", ") }
    });
    let seen = ComparedTable { name: "seen", columns: "*", key: "event".to_owned() };
    // The cause's wording may differ between two program versions.
    let position = "topic, partition, record_offset";
    let dead_letters = ComparedTable { name: "dead_letter", columns: position, key: position.to_owned() };
    tables.chain([seen, dead_letters]).collect()
}

/// Digest of the rows of a table whose keys' hashes end alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    number: i32,
    rows: i64,
    /// Sums of the halves of every row's MD5: independent of the order, in constant memory.
    sums: String,
}

/// The non-empty buckets of each table. Equal digests mean equal rows.
pub type Digest = BTreeMap<&'static str, Vec<Bucket>>;

/// Digest of a generation's rows, in the snapshot of this connection. With `only_events`, only of the events that were
/// folded, which can be compared across fold versions.
///
/// # Errors
/// When the Postgres query fails.
pub async fn digest(
    connection: &mut PgConnection,
    processor: &Processor,
    generation: &Generation,
    only_events: bool,
) -> Result<Digest, sqlx::Error> {
    let mut digest = Digest::new();
    let is_compared = |table: &ComparedTable| !only_events || table.name == "seen" || table.name == "dead_letter";
    for table in compared_tables(processor).into_iter().filter(is_compared) {
        let ComparedTable { name, columns, key } = table;
        let half = |side: &str| format!("sum(('x' || {side}(hash, 16))::bit(64)::bigint)");
        let sql = format!(
            "SELECT bucket, count(*) AS rows, {} || ' ' || {} AS sums
             FROM (SELECT (hashtextextended(ROW({key})::text, 0) & {})::integer AS bucket, md5(compared::text) AS hash
                   FROM (SELECT {columns} FROM {}.{name}) AS compared) AS hashes
             GROUP BY bucket ORDER BY bucket",
            half("left"),
            half("right"),
            BUCKETS - 1,
            generation.schema
        );
        let rows = sqlx::query(&sql).fetch_all(&mut *connection).await?;
        let bucket = |row: &PgRow| Bucket { number: row.get("bucket"), rows: row.get("rows"), sums: row.get("sums") };
        digest.insert(name, rows.iter().map(bucket).collect());
    }
    Ok(digest)
}

/// One side of a comparison.
pub(crate) struct Side<'a> {
    /// Connection whose snapshot is compared.
    pub connection: &'a mut PgConnection,
    pub generation: &'a Generation,
    pub digest: Digest,
}

/// Differences between two sides, found bucket by bucket.
pub(crate) async fn differences(
    processor: &Processor,
    live: Side<'_>,
    folded: Side<'_>,
) -> Result<Vec<Difference>, ReplayError> {
    let mut differences = Vec::new();
    for table in compared_tables(processor) {
        let (Some(left), Some(right)) = (live.digest.get(table.name), folded.digest.get(table.name)) else { continue };
        let left: BTreeSet<_> = left.iter().collect();
        let right: BTreeSet<_> = right.iter().collect();
        let buckets: BTreeSet<i32> = left.symmetric_difference(&right).map(|bucket| bucket.number).collect();
        let mut difference = Difference { table: table.name.to_owned(), rows: 0, samples: Vec::new() };
        for bucket in buckets {
            let mut served = rows(live.connection, &table, live.generation, bucket).await?;
            for (key, row) in rows(folded.connection, &table, folded.generation, bucket).await? {
                let found = served.remove(&key);
                if found.as_ref() != Some(&row) {
                    difference.add(Sample { key, live: found, folded: Some(row) });
                }
            }
            for (key, row) in served {
                difference.add(Sample { key, live: Some(row), folded: None });
            }
        }
        if difference.rows > 0 {
            differences.push(difference);
        }
    }
    Ok(differences)
}

impl Difference {
    fn add(&mut self, sample: Sample) {
        self.rows += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(sample);
        }
    }

    /// A description of a few lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = vec![format!("{}: {} rows differ", self.table, self.rows)];
        for Sample { key, live, folded } in &self.samples {
            let side = |row: &Option<String>| row.clone().unwrap_or_else(|| "no such row".to_owned());
            lines.push(format!("  {key}\n    live {}\n    log  {}", side(live), side(folded)));
        }
        lines.join("\n")
    }
}

async fn rows(
    connection: &mut PgConnection,
    ComparedTable { name, columns, key }: &ComparedTable,
    generation: &Generation,
    bucket: i32,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let sql = format!(
        "SELECT ROW({key})::text AS key, compared::text AS row FROM (SELECT {columns} FROM {}.{name}) AS compared
         WHERE (hashtextextended(ROW({key})::text, 0) & {}) = $1",
        generation.schema,
        BUCKETS - 1
    );
    let rows = sqlx::query(&sql).bind(i64::from(bucket)).fetch_all(connection).await?;
    Ok(rows.iter().map(|row| (row.get("key"), row.get("row"))).collect())
}
