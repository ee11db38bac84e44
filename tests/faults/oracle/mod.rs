//! An oracle for the contents of tables: one thread reads the whole log and applies the documented meaning of each
//! table. It shares no code with the programs under test; rows are compared as Postgres prints them.

mod analytics;
mod catalogue;
mod compare;
mod funnel;
mod recommendation;
mod table;

use std::collections::HashSet;

use chrono_tz::Tz;
use jangbogo_test_support::log::{Kind, Record};
use serde_json::Value;

use self::analytics::Analytics;
use self::catalogue::Catalogue;
pub use self::compare::compare;
use self::funnel::Funnel;
use self::recommendation::Recommendation;
pub use self::table::Table;

/// Expected tables of every processor.
pub struct Oracle {
    zone: Tz,
    seen: HashSet<(String, String)>,
    catalogue: Catalogue,
    recommendation: Recommendation,
    analytics: Analytics,
    funnel: Funnel,
    /// Number of records read.
    pub records: u64,
    /// Number of records that repeat an earlier event.
    pub repeats: u64,
}

impl Oracle {
    /// An oracle of an empty log; days and hours are counted in the time zone.
    pub fn new(zone: Tz) -> Self {
        Self {
            zone,
            seen: HashSet::new(),
            catalogue: Catalogue::default(),
            recommendation: Recommendation::default(),
            analytics: Analytics::default(),
            funnel: Funnel::default(),
            records: 0,
            repeats: 0,
        }
    }

    /// Folds the next record; only the first occurrence of an event counts.
    pub fn take(&mut self, record: &Record) {
        self.records += 1;
        if !self.seen.insert((record.source.clone(), record.id.clone())) {
            self.repeats += 1;
            return;
        }
        let local = record.time.with_timezone(&self.zone);
        self.catalogue.fold(record);
        self.recommendation.fold(record, local);
        self.analytics.fold(record, local);
        self.funnel.fold(record, local.date_naive());
    }

    /// A processor's tables that depend on the shop's own events only; those that depend on conversations are left out.
    pub fn tables(&self, processor: &str) -> Vec<Table> {
        let own = match processor {
            "recommendation" => Vec::from(self.recommendation.tables()),
            "analytics" => self.analytics.tables().into_iter().chain(self.funnel.tables()).collect(),
            "es-sync" | "preference-analysis" => Vec::new(),
            "embedder" | "assistant" => return Vec::new(),
            other => panic!("the oracle does not know the processor {other}"),
        };
        std::iter::once(self.catalogue.table()).chain(own).collect()
    }
}

/// A mandatory text field.
fn text(data: &Value, field: &str) -> String {
    optional_text(data, field).unwrap_or_else(|| panic!("no {field} in {data}"))
}

fn optional_text(data: &Value, field: &str) -> Option<String> {
    data[field].as_str().map(str::to_owned)
}

fn number(data: &Value, field: &str) -> i64 {
    data[field].as_i64().unwrap_or_else(|| panic!("no {field} in {data}"))
}

/// One line of an order or a cancellation.
struct Item {
    product_id: String,
    quantity: i64,
    total_minor: i64,
}

fn items(data: &Value) -> Vec<Item> {
    let items = data["items"].as_array().unwrap_or_else(|| panic!("no items in {data}"));
    let item = |item: &Value| Item {
        product_id: text(item, "product_id"),
        quantity: number(item, "quantity"),
        total_minor: number(item, "total_minor"),
    };
    items.iter().map(item).collect()
}
