//! Compares the oracle's rows with a schema's in Postgres: by a digest of each table, then row by row.

use std::fmt::Write as _;

use sqlx::{Connection as _, PgConnection, Row as _};

use super::Table;

/// Schema of the oracle's rows.
const SCRATCH: &str = "oracle_rows";
/// Size of a chunk of COPY's input.
const CHUNK_BYTES: usize = 1 << 20;

/// Compares the tables of a schema with the oracle's. Returns the number of rows.
///
/// # Errors
/// The differences: each table, with up to five rows that only one side has.
pub async fn compare(database: &mut PgConnection, schema: &str, tables: &[Table]) -> Result<u64, String> {
    let mut differences = String::new();
    let mut rows = 0;
    // Rolled back in the end.
    let mut transaction = database.begin().await.unwrap();
    sqlx::raw_sql(&format!("CREATE SCHEMA {SCRATCH}")).execute(&mut *transaction).await.unwrap();
    for table in tables {
        rows += table.rows;
        let columns = columns(&mut transaction, schema, table).await;
        fill(&mut transaction, schema, table).await;
        let actual = digest(&mut transaction, schema, table, &columns).await;
        let expected = digest(&mut transaction, SCRATCH, table, &columns).await;
        if actual != expected {
            let _ = writeln!(differences, "{}: {actual:?}, not {expected:?}", table.name);
            differences += &differing(&mut transaction, [schema, SCRATCH], table, &columns, "only in the table").await;
            differences += &differing(&mut transaction, [SCRATCH, schema], table, &columns, "only in the oracle").await;
        }
    }
    transaction.rollback().await.unwrap();
    if differences.is_empty() { Ok(rows) } else { Err(differences) }
}

/// The columns that the oracle knows, which the table must have.
async fn columns(database: &mut PgConnection, schema: &str, table: &Table) -> String {
    let existing: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2",
    )
    .bind(schema)
    .bind(table.name)
    .fetch_all(database)
    .await
    .unwrap();
    for column in table.columns {
        assert!(existing.iter().any(|name| name == column), "the table {} has no column {column}", table.name);
    }
    table.columns.join(", ")
}

/// Copies the oracle's rows into a table of the same column types.
async fn fill(database: &mut PgConnection, schema: &str, table: &Table) {
    let name = table.name;
    let sql = format!("CREATE UNLOGGED TABLE {SCRATCH}.{name} AS TABLE {schema}.{name} WITH NO DATA");
    sqlx::raw_sql(&sql).execute(&mut *database).await.unwrap();
    let sql = format!("COPY {SCRATCH}.{name} ({}) FROM STDIN", table.columns.join(", "));
    let mut copy = database.copy_in_raw(&sql).await.unwrap();
    for chunk in table.lines.as_bytes().chunks(CHUNK_BYTES) {
        copy.send(chunk).await.unwrap();
    }
    copy.finish().await.unwrap();
}

/// Number of rows, and a hash of their text.
async fn digest(database: &mut PgConnection, schema: &str, table: &Table, columns: &str) -> (i64, String) {
    let sql = format!(
        "SELECT count(*), md5(coalesce(string_agg(row, '' ORDER BY row), ''))
         FROM (SELECT md5(ROW({columns})::text) AS row FROM {schema}.{}) AS rows",
        table.name
    );
    let row = sqlx::query(&sql).fetch_one(database).await.unwrap();
    (row.get(0), row.get(1))
}

/// Up to five rows that only the first schema has.
async fn differing(
    database: &mut PgConnection,
    [present, absent]: [&str; 2],
    table: &Table,
    columns: &str,
    what: &str,
) -> String {
    let sql = format!(
        "SELECT ROW(differing.*)::text
         FROM (SELECT {columns} FROM {present}.{0} EXCEPT ALL SELECT {columns} FROM {absent}.{0}) AS differing
         ORDER BY 1 LIMIT 5",
        table.name
    );
    let rows: Vec<String> = sqlx::query_scalar(&sql).fetch_all(database).await.unwrap();
    rows.iter().fold(String::new(), |text, row| text + "    " + what + ": " + row + "\n")
}
