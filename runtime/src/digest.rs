//! Digests of a generation's rows: two folds of the same events have the same.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::fold::{Processor, Table};
use crate::store::Generation;

/// One table's rows, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// How many.
    pub rows: i64,
    /// The sums of the halves of every row's MD5: whatever the order, and in little memory however many rows there are.
    pub sums: String,
}

/// The digest of each of a processor's tables, and of the events it has folded (`seen`).
///
/// # Errors
/// When Postgres is away.
pub async fn tables(
    connection: &mut PgConnection,
    processor: &Processor,
    generation: &Generation,
) -> Result<BTreeMap<&'static str, TableDigest>, sqlx::Error> {
    let mut digests = BTreeMap::new();
    for name in processor.tables().map(|table: &Table| table.name).chain(["seen"]) {
        let row = sqlx::query(AssertSqlSafe(digest_query(name, generation))).fetch_one(&mut *connection).await?;
        digests.insert(name, TableDigest { rows: row.get("rows"), sums: row.get("sums") });
    }
    Ok(digests)
}

fn digest_query(table: &str, generation: &Generation) -> String {
    let half = |side: &str| format!("coalesce(sum(('x' || {side}(hash, 16))::bit(64)::bigint), 0)");
    format!(
        "SELECT count(*) AS rows, {} || ' ' || {} AS sums
         FROM (SELECT md5(digested::text) AS hash FROM {}.{table} AS digested) AS hashes",
        half("left"),
        half("right"),
        generation.schema,
    )
}
