//! SQL generated from tables: their creation, and the upsert that merges a batch's rows.

use chrono::{DateTime, NaiveDate, Utc};
use jangbogo_fold::{Cell, Column, ColumnType, Group, KeyValue, Merge, Table, TableDeltas, decode_key};
use jangbogo_platform::vector_index::VectorIndex;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use uuid::Uuid;

use super::bulk;

/// `CREATE TABLE` and `CREATE INDEX` for a projection's table, in the current schema.
#[must_use]
pub fn create_table(table: &Table, vector_index: VectorIndex) -> String {
    let statements = std::iter::once(column_definitions(table, "", table.name)).chain(keys(table, vector_index));
    statements.collect::<Vec<_>>().join(";") + ";"
}

/// `CREATE TABLE` without keys: a table that is filled in bulk gets them last.
pub(super) fn column_definitions(table: &Table, persistence: &str, name: &str) -> String {
    let key = table.key.iter().map(|column| format!("{} {} NOT NULL", column.name, column.column_type.sql()));
    let values = table.groups.iter().flat_map(value_columns);
    let values = values.map(|(name, column_type)| format!("{name} {}", column_type.sql()));
    // Merged rows are updated again and again: room on the page keeps the new version beside the old (HOT).
    let fill = if table.groups.iter().any(|group| group.merge != Merge::Once) { 80 } else { 100 };
    format!(
        "CREATE {persistence} TABLE {name} ({}) WITH (fillfactor = {fill});COMMENT ON TABLE {name} IS '{}'",
        key.chain(values).collect::<Vec<_>>().join(", "),
        table.description.trim().replace('\'', "''")
    )
}

/// A table's primary key and indexes.
pub(super) fn keys(table: &Table, vector_index: VectorIndex) -> Vec<String> {
    let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
    let primary = format!("ALTER TABLE {} ADD PRIMARY KEY ({})", table.name, key.join(", "));
    let indexes = table
        .indexes
        .iter()
        .map(|column| format!("CREATE INDEX {} ON {} ({column})", table.index_name(column), table.name));
    let nearest = table.nearest.iter().map(|column| {
        format!(
            "CREATE INDEX {} ON {} USING hnsw ({column} vector_cosine_ops)
             WITH ({})",
            table.index_name(column),
            table.name,
            vector_index.storage_parameters()
        )
    });
    std::iter::once(primary).chain(indexes).chain(nearest).collect()
}

/// Stored columns of a table: the key's, then each group's.
pub(super) fn columns(table: &Table) -> Vec<(String, ColumnType)> {
    let key = table.key.iter().map(|column| (column.name.to_owned(), column.column_type));
    key.chain(table.groups.iter().flat_map(value_columns)).collect()
}

/// Stored columns of a group: the stamp's, then its own.
pub(super) fn value_columns(group: &Group) -> impl Iterator<Item = (String, ColumnType)> {
    let stamp = if group.merge.is_stamped() {
        vec![(format!("{}_at", group.name), ColumnType::Time), (format!("{}_by", group.name), ColumnType::Id)]
    } else {
        Vec::new()
    };
    let own = group.columns.iter().map(|Column { name, column_type }| ((*name).to_owned(), *column_type));
    stamp.into_iter().chain(own)
}

/// Statements that write a batch's rows, one for each table of a processor, built once.
#[derive(Clone, Debug)]
pub struct Statements {
    statements: Vec<String>,
    in_bulk: bool,
}

impl Statements {
    /// Upserts: rows are merged with the stored ones.
    pub fn new(tables: impl Iterator<Item = &'static Table>) -> Self {
        Self { statements: tables.map(upsert).collect(), in_bulk: false }
    }

    /// `COPY`s, for a generation in its bulk fold: rows are merged at its end.
    pub fn in_bulk(tables: impl Iterator<Item = &'static Table>) -> Self {
        Self { statements: tables.map(bulk::copy_statement).collect(), in_bulk: true }
    }

    /// True for a bulk fold, whose rows are not read yet, so that no view becomes stale.
    pub(super) fn are_in_bulk(&self) -> bool {
        self.in_bulk
    }

    /// Writes the changed rows of the table at a position.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        position: usize,
        deltas: &TableDeltas,
    ) -> Result<(), sqlx::Error> {
        let statement = &self.statements[position];
        if self.in_bulk {
            return bulk::copy(connection, statement, deltas).await;
        }
        bind_table(statement, deltas, &deltas.rows_in_key_order()).execute(connection).await.map(drop)
    }
}

fn upsert(table: &'static Table) -> String {
    let columns = columns(table);
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let arrays: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(position, (_, column_type))| format!("unnest(${}::{}[])", position + 1, column_type.sql()))
        .collect();
    let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
    let assignments: Vec<String> = table.groups.iter().flat_map(assignments).collect();
    let action =
        if assignments.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", assignments.join(", ")) };
    format!(
        "INSERT INTO {} AS old ({}) SELECT {} ON CONFLICT ({}) DO {action}",
        table.name,
        names.join(", "),
        arrays.join(", "),
        key.join(", "),
    )
}

/// Assignments of a group's columns on a conflict. Nulls mean that no event has touched the group.
fn assignments(group: &Group) -> Vec<String> {
    let columns = value_columns(group).map(|(name, _)| name);
    let stamp = |row: &str| format!("({row}.{0}_at, {row}.{0}_by)", group.name);
    let stamped = |wins: &str| {
        let old_at = format!("old.{}_at", group.name);
        let new_at = format!("excluded.{}_at", group.name);
        format!("{new_at} IS NOT NULL AND ({old_at} IS NULL OR {} {wins} {})", stamp("excluded"), stamp("old"))
    };
    let rule: Box<dyn Fn(String) -> String> = match group.merge {
        Merge::Once => return Vec::new(),
        Merge::Add => Box::new(|name| {
            format!(
                "{name} = CASE WHEN excluded.{name} IS NULL THEN old.{name} \
                 ELSE coalesce(old.{name}, 0) + excluded.{name} END"
            )
        }),
        Merge::Max => Box::new(|name| format!("{name} = greatest(old.{name}, excluded.{name})")),
        Merge::Min => Box::new(|name| format!("{name} = least(old.{name}, excluded.{name})")),
        Merge::First | Merge::Last => {
            let wins = stamped(if group.merge == Merge::Last { ">" } else { "<" });
            Box::new(move |name| format!("{name} = CASE WHEN {wins} THEN excluded.{name} ELSE old.{name} END"))
        }
    };
    columns.map(rule).collect()
}

/// Binds a table's changed rows, one array per column.
fn bind_table<'q>(sql: &'q str, deltas: &'q TableDeltas, rows: &[usize]) -> Query<'q, Postgres, PgArguments> {
    let table = deltas.table();
    let mut query = sqlx::query(sql);
    for position in 0..table.key.len() {
        query = bind_keys(query, deltas, rows, position);
    }
    for (position, (_, column_type)) in table.groups.iter().flat_map(value_columns).enumerate() {
        query = bind_cells(query, column_type, deltas, rows, position);
    }
    query
}

macro_rules! bind_column {
    ($query:expr, $values:expr, $variant:pat => $value:expr, $type:ty) => {{
        let column: Vec<Option<$type>> = $values
            .map(|value| match value {
                $variant => Some($value),
                _ => None,
            })
            .collect();
        $query.bind(column)
    }};
}

fn bind_keys<'q>(
    query: Query<'q, Postgres, PgArguments>,
    deltas: &'q TableDeltas,
    rows: &[usize],
    position: usize,
) -> Query<'q, Postgres, PgArguments> {
    let key = deltas.table().key;
    let types = || key.iter().map(|column| column.column_type);
    let values = rows.iter().map(|row| decode_key(types(), deltas.key(*row)).nth(position));
    match key[position].column_type {
        ColumnType::Text => bind_column!(query, values, Some(KeyValue::Text(text)) => text, &'q str),
        ColumnType::Integer => bind_column!(query, values, Some(KeyValue::Integer(number)) => number, i64),
        ColumnType::Boolean => bind_column!(query, values, Some(KeyValue::Integer(number)) => number != 0, bool),
        ColumnType::Day => bind_column!(query, values, Some(KeyValue::Day(day)) => day, NaiveDate),
        ColumnType::Time => bind_column!(query, values, Some(KeyValue::Time(time)) => time, DateTime<Utc>),
        ColumnType::Id => bind_column!(query, values, Some(KeyValue::Id(id)) => Uuid::from_u128(id), Uuid),
        // A vector is never a key: it does not implement `KeyColumn`.
        ColumnType::Vector => query,
    }
}

fn bind_cells<'q>(
    query: Query<'q, Postgres, PgArguments>,
    column_type: ColumnType,
    deltas: &'q TableDeltas,
    rows: &[usize],
    position: usize,
) -> Query<'q, Postgres, PgArguments> {
    let values = rows.iter().map(|row| &deltas.cells(*row)[position]);
    match column_type {
        ColumnType::Text => bind_column!(query, values, Cell::Text(text) => &**text, &'q str),
        ColumnType::Integer => bind_column!(query, values, Cell::Integer(number) => *number, i64),
        ColumnType::Boolean => bind_column!(query, values, Cell::Boolean(flag) => *flag, bool),
        ColumnType::Day => bind_column!(query, values, Cell::Day(day) => *day, NaiveDate),
        ColumnType::Time => bind_column!(query, values, Cell::Time(time) => *time, DateTime<Utc>),
        ColumnType::Id => bind_column!(query, values, Cell::Id(id) => Uuid::from_u128(*id), Uuid),
        ColumnType::Vector => bind_column!(query, values, Cell::Vector(bits) => vector(bits), pgvector::Vector),
    }
}

fn vector(bits: &[u32]) -> pgvector::Vector {
    bits.iter().copied().map(f32::from_bits).collect::<Vec<f32>>().into()
}

#[cfg(test)]
mod tests {
    use jangbogo_fold::TableMarker as _;

    use super::*;

    jangbogo_fold::table! {
        /// The sums of a product's days
        pub Sums "sums" {
            key SumsKey<'a> { product_id: &'a str, day: NaiveDate }
            add Sum "sum" { units: i64, value: i64 }
        }
    }
    jangbogo_fold::table! {
        /// The member's newest event
        pub Largest "largest" {
            key LargestKey<'a> { member_id: &'a str }
            max Newest "newest" { newest: DateTime<Utc> }
        }
    }
    jangbogo_fold::table! {
        /// The lowest price
        pub Smallest "smallest" { key SmallestKey { id: u128 } min Lowest "lowest" { price: i64 } }
    }
    jangbogo_fold::table! {
        /// The first event
        pub Earliest "earliest" index [member_id] {
            key EarliestKey { number: i64 }
            first Origin "origin" { member_id: Option<String>, gift: bool }
        }
    }
    jangbogo_fold::table! {
        /// The newest title
        pub Latest "latest" { key LatestKey { at: DateTime<Utc> } last Title "title" { text: String } }
    }
    jangbogo_fold::table! {
        /// Facts
        pub Facts "facts" index [day, member_id] {
            key Fact { event: u128 }
            once Values "values" { member_id: Option<String>, day: NaiveDate }
        }
    }
    jangbogo_fold::table! {
        /// Vectors
        pub Vectors "vectors" nearest [vector] {
            key VectorKey<'a> { product_id: &'a str }
            last Embedding<'a> "embedding" { vector: &'a jangbogo_events::Vector }
        }
    }
    jangbogo_fold::table! {
        /// A set
        pub Elements "elements" { key Element<'a> { member_id: &'a str, product_id: &'a str } }
    }
    jangbogo_fold::table! {
        /// Groups that merge in different ways
        pub Mixed "mixed" {
            key MixedKey<'a> { member_id: &'a str }
            add Count "count" { events: i64 }
            max Presence "presence" { newest: DateTime<Utc> }
            last Name "name" { name: String }
        }
    }

    #[test]
    fn statements_of_each_operator() {
        let tables = [
            Sums::TABLE,
            Largest::TABLE,
            Smallest::TABLE,
            Earliest::TABLE,
            Latest::TABLE,
            Facts::TABLE,
            Elements::TABLE,
            Vectors::TABLE,
            Mixed::TABLE,
        ];
        let vector_index = VectorIndex { m: 8, ef_construction: 40, ..VectorIndex::default() };
        for table in tables {
            let created = create_table(table, vector_index);
            let sql = format!("{}\n\n{}", created.replace(';', ";\n").trim_end(), upsert(table));
            insta::assert_snapshot!(table.name, sql);
        }
    }
}
