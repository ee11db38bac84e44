//! Two folds of the same events: whether their rows are equal, and which are not.

use std::collections::{BTreeMap, BTreeSet};

use jangbogo_fold::Processor;
use jangbogo_store::Generation;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::error::ReplayError;

/// Rows are compared in so many buckets of their keys' hashes, so that a difference is found in little memory.
const BUCKETS: usize = 256;
/// So many differing rows of a table are shown.
const SAMPLES: usize = 5;

/// What differs in one table.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// How many rows are not the same on both sides.
    pub rows: usize,
    /// Some of them.
    pub samples: Vec<Sample>,
}

/// A row that is not the same on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Its key, as Postgres prints it.
    pub key: String,
    /// What is served; none where there is no such row.
    pub live: Option<String>,
    /// What the log says; none where it says nothing.
    pub folded: Option<String>,
}

/// Rows that are compared: of a table, or of what the runtime keeps beside them.
struct Compared {
    name: &'static str,
    columns: &'static str,
    key: String,
}

fn compared(processor: &Processor) -> Vec<Compared> {
    let tables = processor.tables().map(|table| {
        let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
        Compared { name: table.name, columns: "*", key: key.join(", ") }
    });
    let seen = Compared { name: "seen", columns: "*", key: "event".to_owned() };
    // Two programs may say it in other words why they refuse a record.
    let place = "topic, partition, record_offset";
    let letters = Compared { name: "dead_letter", columns: place, key: place.to_owned() };
    tables.chain([seen, letters]).collect()
}

/// The rows of a table whose keys' hashes end alike, in short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    number: i32,
    rows: i64,
    /// The sums of the halves of every row's MD5: whatever the order, and in little memory however many rows there are.
    sums: String,
}

/// Of each table every bucket that is not empty. Two equal ones are of equal rows.
pub type Digest = BTreeMap<&'static str, Vec<Bucket>>;

/// The digests of a generation's rows, as this connection sees them. With another fold version rows cannot be compared,
/// but the events folded can: `only_events`.
///
/// # Errors
/// When Postgres is away.
pub async fn digest(
    connection: &mut PgConnection,
    processor: &Processor,
    generation: &Generation,
    only_events: bool,
) -> Result<Digest, sqlx::Error> {
    let mut digest = Digest::new();
    let is_wanted = |compared: &Compared| !only_events || compared.name == "seen" || compared.name == "dead_letter";
    for compared in compared(processor).into_iter().filter(is_wanted) {
        let Compared { name, columns, key } = compared;
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
    /// As it sees its rows.
    pub connection: &'a mut PgConnection,
    /// Whose.
    pub generation: &'a Generation,
    /// Theirs.
    pub digest: Digest,
}

/// What differs between two sides, by bucket, so that it does not matter how many rows there are.
pub(crate) async fn differences(
    processor: &Processor,
    live: Side<'_>,
    folded: Side<'_>,
) -> Result<Vec<Difference>, ReplayError> {
    let mut differences = Vec::new();
    for table in compared(processor) {
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

    /// For people.
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
    Compared { name, columns, key }: &Compared,
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
