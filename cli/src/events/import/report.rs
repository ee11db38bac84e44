//! What an import read, produced and left out.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use events::Topic;
use serde::Serialize;

use crate::output;

/// Why a line that can be read makes no item. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// Stock written off.
    NegativeQuantity,
    /// Nothing is taken back.
    PositiveQuantityOnCancellation,
    /// No units.
    ZeroQuantity,
    /// The code is no product's.
    Service,
    /// Money the other way.
    NegativePrice,
    /// A stock-keeper's own booking.
    StockKeeping,
}

impl Skip {
    fn reason(self) -> &'static str {
        match self {
            Self::NegativeQuantity => "negative quantity on an invoice that is not C…",
            Self::PositiveQuantityOnCancellation => "positive quantity on a cancellation",
            Self::ZeroQuantity => "quantity zero",
            Self::Service => "a service, not a product",
            Self::NegativePrice => "negative price",
            Self::StockKeeping => "stock-keeping entry (single line, no price, no customer)",
        }
    }
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableLine {
    /// Counted from 1; the first line names the columns.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What an import did. Sums are of what the file holds in orders and cancellations.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Lines read, but for the first.
    pub lines: u64,
    /// Lines that became items of orders.
    pub order_lines: u64,
    /// Lines that became items of cancellations.
    pub cancellation_lines: u64,
    /// Lines left out, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Of those, the services' codes and how many lines each had.
    pub services: BTreeMap<String, u64>,
    /// Lines that could not be read.
    pub unreadable: Vec<UnreadableLine>,
    /// Invoices of any kind.
    pub invoices: u64,
    /// Invoices with no line left, which make no event.
    pub empty_invoices: u64,
    /// Invoices with several times, of which the earliest counts.
    pub invoices_with_several_times: u64,
    /// Spellings of codes beyond the first: they differ in case alone.
    pub merged_spellings: u64,
    /// Products found.
    pub products: u64,
    /// Invoices that are orders.
    pub orders: u64,
    /// Invoices that are cancellations.
    pub cancellations: u64,
    /// Units ordered.
    pub ordered_units: i64,
    /// Units taken back.
    pub cancelled_units: i64,
    /// Pence ordered.
    pub ordered_minor: i64,
    /// Pence taken back.
    pub cancelled_minor: i64,
    /// By how many weeks all times were moved.
    pub shifted_weeks: i64,
    /// The newest order or cancellation, as moved.
    pub newest: Option<DateTime<Utc>>,
    /// Events acknowledged by Kafka.
    pub produced: BTreeMap<&'static str, Produced>,
}

/// Events of one type that Kafka acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Produced {
    /// Where they stand.
    pub topic: Topic,
    /// How many.
    pub events: u64,
}

impl Report {
    /// Counts a line left out.
    pub fn skip(&mut self, reason: Skip) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// The table that ends an import.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut produced = output::table(["PRODUCED", "TOPIC", "EVENTS"]);
        for (event_type, Produced { topic, events }) in &self.produced {
            produced.add_row([(*event_type).to_owned(), topic.to_string(), events.to_string()]);
        }
        let mut lines = output::table(["LINES", "COUNT"]);
        lines.add_row(["read".to_owned(), self.lines.to_string()]);
        lines.add_row(["items of orders".to_owned(), self.order_lines.to_string()]);
        lines.add_row(["items of cancellations".to_owned(), self.cancellation_lines.to_string()]);
        for (reason, count) in &self.skipped {
            lines.add_row([format!("skipped: {}", reason.reason()), count.to_string()]);
        }
        lines.add_row(["skipped: cannot be read".to_owned(), self.unreadable.len().to_string()]);
        let mut sections = Vec::new();
        if !self.produced.is_empty() {
            sections.push(format!("{produced}\n"));
        }
        sections.push(format!("{lines}\n"));
        sections
            .push(format!("{} products, {} orders, {} cancellations", self.products, self.orders, self.cancellations));
        if !self.services.is_empty() {
            let services: Vec<String> = self.services.iter().map(|(code, count)| format!("{code} {count}")).collect();
            sections.push(format!("services: {}", services.join(", ")));
        }
        sections.push(format!(
            "{} of {} invoices had nothing left and made no event; {} had several times, the earliest counts; \
             {} spellings of codes differed in case alone",
            self.empty_invoices, self.invoices, self.invoices_with_several_times, self.merged_spellings
        ));
        if let Some(newest) = self.newest {
            let newest = newest.to_rfc3339_opts(SecondsFormat::Secs, true);
            sections.push(match self.shifted_weeks {
                0 => format!("the newest order is of {newest}; no time was moved"),
                weeks => format!(
                    "all times were moved by {weeks:+} weeks, so that the newest order falls on {newest} \
                     (--no-shift keeps them)"
                ),
            });
        }
        sections.join("\n") + "\n"
    }
}
