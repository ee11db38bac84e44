//! Reference rows, folded from the log: input of COPY, and expected sums of the contestants.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, NaiveDate, Timelike as _, Utc};
use jangbogo_events::{Data, Event, OrderItem};
use jangbogo_fold::{Table, TableMarker as _};
use jangbogo_platform::config::Connections;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::log::count_lines;
use crate::limits::{ORDER_TOPICS, consume, decoded};

/// Tables that every contestant fills: those of `analytics` that depend on orders.
pub static TABLES: [&Table; 3] = [
    jangbogo_analytics_fold::sales::OrderLines::TABLE,
    jangbogo_analytics_fold::sales::ProductSales::TABLE,
    jangbogo_analytics_fold::purchases::MemberOrders::TABLE,
];

/// Header of Postgres' binary COPY: signature, flags and an empty extension.
const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Row counts and sums of units and money of each table, for comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Lines, units, money, cancelled units, cancelled money.
    pub order_line: [i64; 5],
    /// Product days, units, money, cancelled units, cancelled money.
    pub product_sales: [i64; 5],
    /// Orders of members, units, money.
    pub member_order: [i64; 3],
}

impl Sums {
    pub async fn from_schema(database: &mut PgConnection, schema: &str) -> anyhow::Result<Self> {
        let line = "count(*), coalesce(sum(units) FILTER (WHERE NOT cancelled), 0)::bigint,
            coalesce(sum(total_minor) FILTER (WHERE NOT cancelled), 0)::bigint,
            coalesce(sum(units) FILTER (WHERE cancelled), 0)::bigint,
            coalesce(sum(total_minor) FILTER (WHERE cancelled), 0)::bigint";
        let sales = "count(*), coalesce(sum(sold_units), 0)::bigint, coalesce(sum(sold_minor), 0)::bigint,
            coalesce(sum(cancelled_units), 0)::bigint, coalesce(sum(cancelled_minor), 0)::bigint";
        let order = "count(*), coalesce(sum(units), 0)::bigint, coalesce(sum(value_minor), 0)::bigint";
        Ok(Self {
            order_line: sums(database, &format!("SELECT {line} FROM {schema}.order_line")).await?,
            product_sales: sums(database, &format!("SELECT {sales} FROM {schema}.product_sales")).await?,
            member_order: sums(database, &format!("SELECT {order} FROM {schema}.member_order")).await?,
        })
    }
}

async fn sums<const COUNT: usize>(database: &mut PgConnection, sql: &str) -> anyhow::Result<[i64; COUNT]> {
    let row = sqlx::query(sql).fetch_one(database).await?;
    let mut values = [0; COUNT];
    for (index, value) in values.iter_mut().enumerate() {
        *value = row.try_get(index)?;
    }
    Ok(values)
}

/// The rows of [`TABLES`], as files for COPY.
pub struct Rows {
    /// Number of orders and cancellations.
    pub records: u64,
    pub lines: u64,
    pub sums: Sums,
    files: Vec<PathBuf>,
}

impl Rows {
    /// Folds the log into files of a directory.
    pub fn write(connections: &Connections, folder: &Path) -> anyhow::Result<Self> {
        let files: Vec<PathBuf> = TABLES.iter().map(|table| folder.join(table.name)).collect();
        let mut fold = Fold {
            lines: CopyFile::create(&files[0])?,
            orders: CopyFile::create(&files[2])?,
            sales: HashMap::new(),
            sums: Sums::default(),
        };
        let (mut records, mut lines) = (0, 0);
        consume(connections, ORDER_TOPICS, |message| {
            let event = decoded(connections, message)?;
            let lines_of_event = count_lines(&event);
            records += u64::from(lines_of_event > 0);
            lines += lines_of_event;
            fold.fold(&event)
        })?;
        let sums = fold.finish(&files[1])?;
        ensure!(sums.order_line[0] == i64::try_from(lines)?, "the log holds an order twice; run `bench clean`");
        Ok(Self { records, lines, sums, files })
    }

    /// Tables with the files of their rows.
    pub fn files(&self) -> impl Iterator<Item = (&'static Table, &Path)> {
        TABLES.into_iter().zip(self.files.iter().map(PathBuf::as_path))
    }
}

struct Fold {
    lines: CopyFile,
    orders: CopyFile,
    /// By product, day and currency: units and money sold and cancelled.
    sales: HashMap<(String, NaiveDate, String), [Option<i64>; 4]>,
    sums: Sums,
}

impl Fold {
    fn fold(&mut self, event: &Event) -> anyhow::Result<()> {
        let (order_id, member_id, currency, items, cancelled) = match &event.data {
            Data::OrderCompleted(order) => {
                (Some(&*order.order_id), order.member_id.as_deref(), order.currency.as_str(), &order.items, false)
            }
            Data::OrderCancelled(order) => {
                (order.order_id.as_deref(), order.member_id.as_deref(), order.currency.as_str(), &order.items, true)
            }
            _ => return Ok(()),
        };
        let hash = event.envelope.hash();
        let day = event.envelope.time.date_naive();
        for (number, item) in (0_i64..).zip(items) {
            let OrderItem { product_id, quantity, total_minor } = item;
            let units = quantity.units();
            self.lines.row(10)?;
            self.lines.field(&hash.to_be_bytes())?;
            self.lines.integer(number)?;
            self.lines.text(order_id)?;
            self.lines.text(member_id)?;
            self.lines.text(Some(product_id))?;
            self.lines.day(day)?;
            self.lines.field(&[u8::from(cancelled)])?;
            self.lines.integer(units)?;
            self.lines.integer(*total_minor)?;
            self.lines.text(Some(currency))?;
            let first = if cancelled { 2 } else { 0 };
            let key = (product_id.to_string(), day, currency.to_owned());
            let sums = self.sales.entry(key).or_default();
            for (column, value) in [(first, units), (first + 1, *total_minor)] {
                *sums[column].get_or_insert_default() += value;
                self.sums.order_line[column + 1] += value;
            }
            self.sums.order_line[0] += 1;
        }
        if let (Some(member_id), false) = (member_id, cancelled) {
            let units: i64 = items.iter().map(|item| item.quantity.units()).sum();
            let value_minor: i64 = items.iter().map(|item| item.total_minor).sum();
            self.orders.row(7)?;
            self.orders.field(&hash.to_be_bytes())?;
            self.orders.text(Some(member_id))?;
            self.orders.time(event.envelope.time)?;
            self.orders.integer(i64::from(event.envelope.time.hour()))?;
            self.orders.integer(units)?;
            self.orders.integer(value_minor)?;
            self.orders.text(Some(currency))?;
            for (sum, value) in self.sums.member_order.iter_mut().zip([1, units, value_minor]) {
                *sum += value;
            }
        }
        Ok(())
    }

    fn finish(mut self, sales_path: &Path) -> anyhow::Result<Sums> {
        let mut file = CopyFile::create(sales_path)?;
        for ((product_id, day, currency), sums) in &self.sales {
            file.row(7)?;
            file.text(Some(product_id))?;
            file.day(*day)?;
            file.text(Some(currency))?;
            self.sums.product_sales[0] += 1;
            for (column, value) in sums.iter().enumerate() {
                file.optional_integer(*value)?;
                self.sums.product_sales[column + 1] += value.unwrap_or_default();
            }
        }
        file.finish()?;
        self.lines.finish()?;
        self.orders.finish()?;
        Ok(self.sums)
    }
}

/// A file in the format of Postgres' binary COPY.
struct CopyFile(BufWriter<File>);

impl CopyFile {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        writer.write_all(BINARY_HEADER)?;
        Ok(Self(writer))
    }

    fn row(&mut self, fields: i16) -> std::io::Result<()> {
        self.0.write_all(&fields.to_be_bytes())
    }

    fn field(&mut self, value: &[u8]) -> std::io::Result<()> {
        let length = i32::try_from(value.len()).map_err(std::io::Error::other)?;
        self.0.write_all(&length.to_be_bytes())?;
        self.0.write_all(value)
    }

    fn null(&mut self) -> std::io::Result<()> {
        self.0.write_all(&(-1_i32).to_be_bytes())
    }

    fn text(&mut self, value: Option<&str>) -> std::io::Result<()> {
        match value {
            Some(text) => self.field(text.as_bytes()),
            None => self.null(),
        }
    }

    fn integer(&mut self, value: i64) -> std::io::Result<()> {
        self.field(&value.to_be_bytes())
    }

    fn optional_integer(&mut self, value: Option<i64>) -> std::io::Result<()> {
        match value {
            Some(value) => self.integer(value),
            None => self.null(),
        }
    }

    /// Postgres counts days from the year 2000.
    fn day(&mut self, day: NaiveDate) -> anyhow::Result<()> {
        let days = i32::try_from((day - epoch()?.date_naive()).num_days())?;
        Ok(self.field(&days.to_be_bytes())?)
    }

    /// Postgres counts microseconds from the year 2000.
    fn time(&mut self, time: DateTime<Utc>) -> anyhow::Result<()> {
        let microseconds = (time - epoch()?).num_microseconds().context("a time out of range")?;
        Ok(self.integer(microseconds)?)
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.0.write_all(&(-1_i16).to_be_bytes())?;
        self.0.flush()
    }
}

fn epoch() -> anyhow::Result<DateTime<Utc>> {
    const SECONDS_TO_2000: i64 = 946_684_800;
    DateTime::from_timestamp(SECONDS_TO_2000, 0).context("the year 2000 is out of range")
}
