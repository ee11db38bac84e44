//! What an import read, produced and left out.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::Table;
use jangbogo_events::Topic;
use serde::Serialize;

use crate::output;

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableLine {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What an import did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Lines read. One that names the columns is not counted, nor are a catalogue's blank ones.
    pub lines: u64,
    /// Lines that could not be read.
    pub unreadable: Vec<UnreadableLine>,
    /// Products found.
    pub products: u64,
    /// Orders found.
    pub orders: u64,
    /// Cancellations found.
    pub cancellations: u64,
    /// What files of this format have besides.
    #[serde(flatten)]
    pub details: Details,
    /// Events acknowledged by Kafka.
    pub produced: BTreeMap<&'static str, Produced>,
}

/// What files of one format have, and others do not.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Details {
    /// Online Retail II.
    Invoices(InvoiceDetails),
    /// Icecat's electronics.
    Catalogue(CatalogueDetails),
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
    /// The table that ends an import.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut sections = Vec::new();
        if !self.produced.is_empty() {
            let mut produced = output::table(["PRODUCED", "TOPIC", "EVENTS"]);
            for (event_type, Produced { topic, events }) in &self.produced {
                produced.add_row([(*event_type).to_owned(), topic.to_string(), events.to_string()]);
            }
            sections.push(format!("{produced}\n"));
        }
        let mut lines = output::table(["LINES", "COUNT"]);
        add_count(&mut lines, "read", self.lines);
        if let Details::Invoices(details) = &self.details {
            details.add_to(&mut lines);
        }
        add_count(&mut lines, "skipped: cannot be read", self.unreadable.len() as u64);
        sections.push(format!("{lines}\n"));
        if let Details::Catalogue(details) = &self.details {
            sections.push(format!("{}\n", details.attributes_table()));
        }
        sections
            .push(format!("{} products, {} orders, {} cancellations", self.products, self.orders, self.cancellations));
        match &self.details {
            Details::Invoices(details) => sections.extend(details.remarks()),
            Details::Catalogue(details) => sections.push(details.remark()),
        }
        sections.join("\n") + "\n"
    }
}

fn add_count(table: &mut Table, what: impl Into<String>, count: u64) {
    table.add_row([what.into(), count.to_string()]);
}

/// Why a line of an invoice that can be read makes no item. The order is that of the table.
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

/// What a file of invoices held. Sums are of what it holds in orders and cancellations.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InvoiceDetails {
    /// Lines that became items of orders.
    pub order_lines: u64,
    /// Lines that became items of cancellations.
    pub cancellation_lines: u64,
    /// Lines left out, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Of those, the services' codes and how many lines each had.
    pub services: BTreeMap<String, u64>,
    /// Invoices of any kind.
    pub invoices: u64,
    /// Invoices with no line left, which make no event.
    pub empty_invoices: u64,
    /// Invoices with several times, of which the earliest counts.
    pub invoices_with_several_times: u64,
    /// Spellings of codes beyond the first: they differ in case alone.
    pub merged_spellings: u64,
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
}

impl InvoiceDetails {
    /// Counts a line left out.
    pub fn skip(&mut self, reason: Skip) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    fn add_to(&self, lines: &mut Table) {
        add_count(lines, "items of orders", self.order_lines);
        add_count(lines, "items of cancellations", self.cancellation_lines);
        for (reason, count) in &self.skipped {
            add_count(lines, format!("skipped: {}", reason.reason()), *count);
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.services.is_empty() {
            let services: Vec<String> = self.services.iter().map(|(code, count)| format!("{code} {count}")).collect();
            remarks.push(format!("services: {}", services.join(", ")));
        }
        remarks.push(format!(
            "{} of {} invoices had nothing left and made no event; {} had several times, the earliest counts; \
             {} spellings of codes differed in case alone",
            self.empty_invoices, self.invoices, self.invoices_with_several_times, self.merged_spellings
        ));
        if let Some(newest) = self.newest {
            let newest = newest.to_rfc3339_opts(SecondsFormat::Secs, true);
            remarks.push(match self.shifted_weeks {
                0 => format!("the newest order is of {newest}; no time was moved"),
                weeks => format!(
                    "all times were moved by {weeks:+} weeks, so that the newest order falls on {newest} \
                     (--no-shift keeps them)"
                ),
            });
        }
        remarks
    }
}

/// Why a product's attribute is left out. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// Nothing that a shopper asks for.
    Logistics,
    /// No text, number or truth.
    NoValue,
    /// An attribute that is called the same says it.
    SameName,
    /// More than an event may hold.
    BeyondLimits,
}

impl LeftOut {
    fn reason(self) -> &'static str {
        match self {
            Self::Logistics => "packing, shipping and the source's own numbers",
            Self::NoValue => "no text, number or truth value",
            Self::SameName => "another of the product's attributes has the name",
            Self::BeyondLimits => "name, value or their number beyond an event's limits",
        }
    }
}

/// What a catalogue held.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CatalogueDetails {
    /// Products listed under no category but `other`.
    pub without_category: u64,
    /// Products with no description, or one that says no more than the title.
    pub without_description: u64,
    /// Products without a price.
    pub without_price: u64,
    /// Products without a time of release in the past, which count as released when they were imported.
    pub without_release: u64,
    /// Attributes of all products.
    pub attributes: u64,
    /// Attributes left out, by reason.
    pub attributes_left_out: BTreeMap<LeftOut, u64>,
}

impl CatalogueDetails {
    fn attributes_table(&self) -> Table {
        let mut table = output::table(["ATTRIBUTES", "COUNT"]);
        add_count(&mut table, "kept", self.attributes);
        for (reason, count) in &self.attributes_left_out {
            add_count(&mut table, format!("left out: {}", reason.reason()), *count);
        }
        table
    }

    fn remark(&self) -> String {
        format!(
            "{} products are listed under no category of their own; {} have no description that says more than the \
             title; {} have no price; {} have no time of release in the past and count as released now",
            self.without_category, self.without_description, self.without_price, self.without_release
        )
    }
}
