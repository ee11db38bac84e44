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
    /// MD5 over every row's text, in the order of keys.
    pub md5: String,
}

/// The digest of each of a processor's tables.
///
/// # Errors
/// When Postgres is away.
pub async fn tables(
    connection: &mut PgConnection,
    processor: &Processor,
    generation: &Generation,
) -> Result<BTreeMap<&'static str, TableDigest>, sqlx::Error> {
    let mut digests = BTreeMap::new();
    for table in processor.tables() {
        let row = sqlx::query(AssertSqlSafe(digest_query(table, generation))).fetch_one(&mut *connection).await?;
        digests.insert(table.name, TableDigest { rows: row.get("rows"), md5: row.get("md5") });
    }
    Ok(digests)
}

fn digest_query(table: &Table, generation: &Generation) -> String {
    let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
    format!(
        "SELECT count(*) AS rows, md5(coalesce(string_agg(md5(digested::text), '' ORDER BY {}), '')) AS md5
         FROM {}.{} AS digested",
        key.join(", "),
        generation.schema,
        table.name
    )
}
