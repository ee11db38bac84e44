//! The tables of `analytics` besides the catalogue: orders and their lines as facts, sales and views by day.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Timelike as _, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::table::{Table, row};
use super::{Kind, Record, items, optional_text, text};

struct Order {
    member_id: String,
    ordered_at: DateTime<Utc>,
    hour: i64,
    units: i64,
    value_minor: i64,
    currency: String,
}

struct Line {
    order_id: Option<String>,
    member_id: Option<String>,
    product_id: String,
    day: NaiveDate,
    cancelled: bool,
    units: i64,
    total_minor: i64,
    currency: String,
}

/// Units and minor units of money; null until the first event that adds to them.
type Sum = Option<(i64, i64)>;

/// All tables but the catalogue and conversations.
#[derive(Default)]
pub struct Analytics {
    member_orders: BTreeMap<Uuid, Order>,
    order_lines: BTreeMap<(Uuid, i64), Line>,
    product_views: BTreeMap<(String, NaiveDate), i64>,
    /// Sold and cancelled, by product, day and currency.
    product_sales: BTreeMap<(String, NaiveDate, String), (Sum, Sum)>,
}

impl Analytics {
    pub fn fold(&mut self, record: &Record, local: DateTime<Tz>) {
        match record.kind {
            Kind::OrderCompleted => {
                self.lines(record, local.date_naive(), false);
                self.order(record, local);
            }
            Kind::OrderCancelled => self.lines(record, local.date_naive(), true),
            Kind::ProductViewed => {
                let key = (text(&record.data, "product_id"), local.date_naive());
                *self.product_views.entry(key).or_default() += 1;
            }
            _ => {}
        }
    }

    fn order(&mut self, record: &Record, local: DateTime<Tz>) {
        let Some(member_id) = optional_text(&record.data, "member_id") else { return };
        let items = items(&record.data);
        let order = Order {
            member_id,
            ordered_at: record.time,
            hour: local.hour().into(),
            units: items.iter().map(|item| item.quantity).sum(),
            value_minor: items.iter().map(|item| item.total_minor).sum(),
            currency: text(&record.data, "currency"),
        };
        self.member_orders.insert(record.hash(), order);
    }

    fn lines(&mut self, record: &Record, day: NaiveDate, cancelled: bool) {
        let hash = record.hash();
        let currency = text(&record.data, "currency");
        for (line, item) in (0..).zip(items(&record.data)) {
            let key = (item.product_id.clone(), day, currency.clone());
            let (sold, taken_back) = self.product_sales.entry(key).or_default();
            let sum = if cancelled { taken_back } else { sold }.get_or_insert_default();
            *sum = (sum.0 + item.quantity, sum.1 + item.total_minor);
            let fact = Line {
                order_id: optional_text(&record.data, "order_id"),
                member_id: optional_text(&record.data, "member_id"),
                product_id: item.product_id,
                day,
                cancelled,
                units: item.quantity,
                total_minor: item.total_minor,
                currency: currency.clone(),
            };
            self.order_lines.insert((hash, line), fact);
        }
    }

    pub fn tables(&self) -> [Table; 4] {
        let columns = &["event", "member_id", "ordered_at", "hour", "units", "value_minor", "currency"];
        let mut member_orders = Table::new("member_order", columns);
        for (event, order) in &self.member_orders {
            let Order { member_id, ordered_at, hour, units, value_minor, currency } = order;
            member_orders.push(row![*event, member_id, *ordered_at, *hour, *units, *value_minor, currency]);
        }
        let columns = &[
            "event",
            "line",
            "order_id",
            "member_id",
            "product_id",
            "day",
            "cancelled",
            "units",
            "total_minor",
            "currency",
        ];
        let mut order_lines = Table::new("order_line", columns);
        for ((event, number), line) in &self.order_lines {
            order_lines.push(row![
                *event,
                *number,
                line.order_id.as_ref(),
                line.member_id.as_ref(),
                &line.product_id,
                line.day,
                line.cancelled,
                line.units,
                line.total_minor,
                &line.currency,
            ]);
        }
        let mut product_views = Table::new("product_views", &["product_id", "day", "views"]);
        for ((product_id, day), views) in &self.product_views {
            product_views.push(row![product_id, *day, *views]);
        }
        let columns =
            &["product_id", "day", "currency", "sold_units", "sold_minor", "cancelled_units", "cancelled_minor"];
        let mut product_sales = Table::new("product_sales", columns);
        for ((product_id, day, currency), (sold, cancelled)) in &self.product_sales {
            product_sales.push(row![
                product_id,
                *day,
                currency,
                sold.map(|sum| sum.0),
                sold.map(|sum| sum.1),
                cancelled.map(|sum| sum.0),
                cancelled.map(|sum| sum.1),
            ]);
        }
        [member_orders, order_lines, product_views, product_sales]
    }
}
