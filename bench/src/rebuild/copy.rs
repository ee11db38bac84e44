//! The machine's limit of writing: the same rows by COPY alone.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jangbogo_fold::Table;
use sqlx::{Executor as _, PgConnection};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::rows::{Rows, TABLES};
use crate::limits::{COPY_BYTES, create_tables};

/// Duration of COPY for all rows into empty tables of a schema, in one transaction, with keys and indexes created
/// before or after.
pub async fn copy(
    database: &mut PgConnection,
    schema: &str,
    rows: &Rows,
    indexes_last: bool,
) -> anyhow::Result<Duration> {
    create_tables(database, schema, TABLES).await?;
    if indexes_last {
        let sql: String = TABLES.iter().map(|table| drop_indexes(schema, table)).collect();
        database.execute(sqlx::raw_sql(&sql)).await.context("cannot drop indexes")?;
    }
    let mut buffer = vec![0; COPY_BYTES];
    let started = Instant::now();
    database.execute("BEGIN").await?;
    for (table, path) in rows.files() {
        let mut file = File::open(path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let sql = format!("COPY {schema}.{} FROM STDIN (FORMAT binary)", table.name);
        let mut copy = database.copy_in_raw(&sql).await?;
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            copy.send(&buffer[..read]).await?;
        }
        copy.finish().await?;
        if indexes_last {
            let sql = create_indexes(schema, table);
            database.execute(sqlx::raw_sql(&sql)).await.context("cannot create indexes")?;
        }
    }
    database.execute("COMMIT").await?;
    Ok(started.elapsed())
}

fn drop_indexes(schema: &str, table: &Table) -> String {
    let name = table.name;
    let mut sql = format!("ALTER TABLE {schema}.{name} DROP CONSTRAINT {name}_pkey;");
    for column in table.indexes {
        // Writing to a String cannot fail.
        let _ = write!(sql, "DROP INDEX {schema}.{name}_{column};");
    }
    sql
}

fn create_indexes(schema: &str, table: &Table) -> String {
    let name = table.name;
    let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
    let mut sql = format!("ALTER TABLE {schema}.{name} ADD PRIMARY KEY ({});", key.join(", "));
    for column in table.indexes {
        let _ = write!(sql, "CREATE INDEX {name}_{column} ON {schema}.{name} ({column});");
    }
    sql
}
