//! Bulk fold: `COPY` of facts into their tables, and of rows that merge into unlogged staging tables, each merged by
//! one `GROUP BY`. Keys and indexes are created last.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use jangbogo_fold::{Cell, ColumnType, Group, KeyValue, Merge, Processor, Table, TableDeltas, decode_key};
use jangbogo_platform::vector_index::VectorIndex;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::generation::{Generation, State, set_state};
use super::statements::{column_definitions, columns, keys, value_columns};

/// Header of a binary `COPY`: signature, no flags, no extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Trailer of a binary `COPY`.
const COPY_TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Postgres counts days and microseconds from this day.
const POSTGRES_EPOCH: NaiveDate = NaiveDate::from_ymd_opt(2000, 1, 1).expect("the date exists");

/// Sums `bigint`s as the upserts do. `sum` computes in `numeric`, which takes twice as long.
const CREATE_ADD: &str = "CREATE AGGREGATE add(bigint) (sfunc = int8pl, stype = bigint)";

/// True if a table holds facts: one row for each event, never merged, so that copied rows are final.
fn is_facts(table: &Table) -> bool {
    let has_event_key = table.key.iter().any(|column| column.column_type == ColumnType::Id);
    has_event_key && !table.groups.is_empty() && table.groups.iter().all(|group| group.merge == Merge::Once)
}

/// SQL that creates tables without keys and their staging tables. A crash of Postgres empties unlogged tables:
/// `staging_intact` detects it.
pub(super) fn create_tables(processor: &Processor) -> String {
    let mut sql = format!("CREATE UNLOGGED TABLE staging_intact AS SELECT true AS intact; {CREATE_ADD};");
    for table in processor.tables() {
        let _ = write!(sql, "{};", column_definitions(table, "", table.name));
        if !is_facts(table) {
            let _ = write!(sql, "{};", column_definitions(table, "UNLOGGED", &staging(table)));
        }
    }
    sql
}

fn staging(table: &Table) -> String {
    format!("staging_{}", table.name)
}

/// The `COPY` statement of a table's rows.
pub(super) fn copy_statement(table: &Table) -> String {
    let target = if is_facts(table) { table.name.to_owned() } else { staging(table) };
    format!("COPY {target} ({}) FROM STDIN (FORMAT binary)", names(table).join(", "))
}

fn names(table: &Table) -> Vec<String> {
    columns(table).into_iter().map(|(name, _)| name).collect()
}

/// Copies all rows of a table's deltas.
pub(super) async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    deltas: &TableDeltas,
) -> Result<(), sqlx::Error> {
    let rows = encode(deltas);
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(rows).await?;
    copy.finish().await?;
    Ok(())
}

fn merge_statement(table: &Table) -> String {
    let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
    let key = key.join(", ");
    let merged: Vec<String> = table.groups.iter().flat_map(merged_columns).collect();
    let selected = std::iter::once(key.clone()).chain(merged).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {} ({}) SELECT {selected} FROM {} GROUP BY {key}",
        table.name,
        names(table).join(", "),
        staging(table)
    )
}

/// True if the staged rows are intact. A crash of Postgres loses them: the generation must be dropped then.
///
/// # Errors
/// When the Postgres query fails.
pub async fn is_bulk_intact(connection: &mut PgConnection, generation: &Generation) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT EXISTS (SELECT FROM {}.staging_intact)", generation.schema);
    sqlx::query_scalar(&sql).fetch_one(connection).await
}

/// Merges a table's staged rows and creates its keys and indexes, unless that was done before. With `is_beside_live` it
/// takes one processor core only.
///
/// # Errors
/// When the Postgres query fails.
pub async fn finish_table(
    connection: &mut PgConnection,
    generation: &Generation,
    table: &Table,
    vector_index: VectorIndex,
    is_beside_live: bool,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(generation.begin("")).await?;
    // The session of a killed replay may still be working on it.
    let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table.name);
    transaction.execute(sqlx::raw_sql(&lock)).await?;
    let has_key = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p')";
    if sqlx::query_scalar(has_key).bind(table.name).fetch_one(&mut *transaction).await? {
        return Ok(());
    }
    let mut sql = "SET LOCAL maintenance_work_mem = '128MB'; SET LOCAL work_mem = '64MB';".to_owned();
    if is_beside_live {
        sql.push_str("SET LOCAL max_parallel_maintenance_workers = 0;");
    }
    if !is_facts(table) {
        // With wal_level = minimal, rows inserted into a table that this transaction has truncated are not logged.
        let _ = write!(sql, "TRUNCATE {};{};DROP TABLE {};", table.name, merge_statement(table), staging(table));
    }
    for key in keys(table, vector_index) {
        let _ = write!(sql, "{key};");
    }
    let _ = write!(sql, "ANALYZE {};", table.name);
    transaction.execute(sqlx::raw_sql(&sql)).await?;
    transaction.commit().await
}

/// Ends the bulk fold after every table is finished: the generation is complete as of the captured offsets.
///
/// # Errors
/// When the Postgres query fails.
pub async fn finish_bulk(connection: &mut PgConnection, generation: &Generation) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(generation.begin("")).await?;
    transaction.execute(sqlx::raw_sql("DROP TABLE staging_intact; DROP AGGREGATE add(bigint)")).await?;
    set_state(&mut transaction, generation, State::CatchingUp).await?;
    transaction.commit().await
}

/// The merge operator as an aggregate, equal to the upserts in sequence.
fn merged_columns(group: &Group) -> Vec<String> {
    // For types without max() and min(), and for values of the newest or oldest stamp.
    let top = |name: &str, order: &str, present: &str| {
        format!("(array_agg({name} ORDER BY {order}) FILTER (WHERE {present} IS NOT NULL))[1]")
    };
    let merged = |(name, column_type): (String, ColumnType)| match group.merge {
        Merge::Add => format!("add({name})"),
        Merge::Max | Merge::Min => {
            let (direction, aggregate) = if group.merge == Merge::Max { ("DESC", "max") } else { ("ASC", "min") };
            match column_type {
                ColumnType::Boolean | ColumnType::Id | ColumnType::Vector => {
                    top(&name, &format!("{name} {direction}"), &name)
                }
                _ => format!("{aggregate}({name})"),
            }
        }
        Merge::First | Merge::Last => {
            let direction = if group.merge == Merge::Last { "DESC" } else { "ASC" };
            let at = format!("{}_at", group.name);
            top(&name, &format!("{at} {direction}, {}_by {direction}", group.name), &at)
        }
        Merge::Once => format!("(array_agg({name}))[1]"),
    };
    value_columns(group).map(merged).collect()
}

/// Rows in Postgres' binary format: the number of fields, then length and bytes of each.
fn encode(deltas: &TableDeltas) -> Vec<u8> {
    let table = deltas.table();
    let fields = i16::try_from(table.key.len() + table.width()).unwrap_or(i16::MAX);
    let mut bytes = Vec::with_capacity(deltas.len() * usize::from(fields.unsigned_abs()) * 16);
    bytes.extend_from_slice(COPY_HEADER);
    for row in 0..deltas.len() {
        bytes.extend_from_slice(&fields.to_be_bytes());
        let types = table.key.iter().map(|column| column.column_type);
        for (value, column) in decode_key(types, deltas.key(row)).zip(table.key) {
            match value {
                KeyValue::Text(text) => put(&mut bytes, text.as_bytes()),
                KeyValue::Integer(number) if column.column_type == ColumnType::Boolean => {
                    put(&mut bytes, &[u8::from(number != 0)]);
                }
                KeyValue::Integer(number) => put(&mut bytes, &number.to_be_bytes()),
                KeyValue::Day(day) => put(&mut bytes, &days(day)),
                KeyValue::Time(time) => put(&mut bytes, &microseconds(time)),
                KeyValue::Id(id) => put(&mut bytes, &id.to_be_bytes()),
            }
        }
        for cell in deltas.cells(row) {
            match cell {
                Cell::Null => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
                Cell::Text(text) => put(&mut bytes, text.as_bytes()),
                Cell::Integer(number) => put(&mut bytes, &number.to_be_bytes()),
                Cell::Boolean(flag) => put(&mut bytes, &[u8::from(*flag)]),
                Cell::Day(day) => put(&mut bytes, &days(*day)),
                Cell::Time(time) => put(&mut bytes, &microseconds(*time)),
                Cell::Id(id) => put(&mut bytes, &id.to_be_bytes()),
                Cell::Vector(bits) => put(&mut bytes, &vector(bits)),
            }
        }
    }
    bytes.extend_from_slice(&COPY_TRAILER);
    bytes
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&i32::try_from(field.len()).unwrap_or(i32::MAX).to_be_bytes());
    bytes.extend_from_slice(field);
}

/// pgvector's binary format: the number of dimensions, two unused bytes, the numbers.
fn vector(bits: &[u32]) -> Vec<u8> {
    let dimensions = u16::try_from(bits.len()).unwrap_or(u16::MAX);
    let header = dimensions.to_be_bytes().into_iter().chain([0, 0]);
    header.chain(bits.iter().flat_map(|number| number.to_be_bytes())).collect()
}

fn days(day: NaiveDate) -> [u8; 4] {
    let days = day.signed_duration_since(POSTGRES_EPOCH).num_days();
    i32::try_from(days).unwrap_or(i32::MAX).to_be_bytes()
}

fn microseconds(time: DateTime<Utc>) -> [u8; 8] {
    let epoch = POSTGRES_EPOCH.and_time(chrono::NaiveTime::MIN).and_utc();
    (time.timestamp_micros() - epoch.timestamp_micros()).to_be_bytes()
}
