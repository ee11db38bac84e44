//! Report of an import: what was read, produced and left out.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::Table;
use jangbogo_events::Topic;
use serde::Serialize;

use crate::output;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableLine {
    /// Line number, counted from 1.
    pub line: u64,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Lines read, without a header and a catalogue's blank lines.
    pub lines: u64,
    pub unreadable: Vec<UnreadableLine>,
    pub products: u64,
    pub orders: u64,
    pub cancellations: u64,
    #[serde(flatten)]
    pub details: Details,
    /// Acknowledged events by type.
    pub produced: BTreeMap<&'static str, Produced>,
}

/// Counts that depend on the format.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Details {
    Invoices(InvoiceDetails),
    Catalogue(CatalogueDetails),
}

/// Events of one type that Kafka acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Produced {
    pub topic: Topic,
    pub events: u64,
}

impl Report {
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

fn add_count(table: &mut Table, label: impl Into<String>, count: u64) {
    table.add_row([label.into(), count.to_string()]);
}

/// Reason that a readable invoice line is skipped. In the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// A negative quantity outside cancellations: stock written off.
    NegativeQuantity,
    /// A positive quantity in a cancellation.
    PositiveQuantityOnCancellation,
    ZeroQuantity,
    /// A service's code, such as postage.
    Service,
    NegativePrice,
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

/// Counts of a file of invoices. Totals are of its orders and cancellations.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InvoiceDetails {
    /// Lines that became items of orders.
    pub order_lines: u64,
    /// Lines that became items of cancellations.
    pub cancellation_lines: u64,
    pub skipped: BTreeMap<Skip, u64>,
    /// Skipped lines of services by code.
    pub services: BTreeMap<String, u64>,
    pub invoices: u64,
    /// Invoices without a remaining line, which make no event.
    pub empty_invoices: u64,
    /// Invoices with several times, of which the earliest counts.
    pub invoices_with_several_times: u64,
    /// Additional spellings of codes, which differ in case only.
    pub merged_spellings: u64,
    pub ordered_units: i64,
    /// Units of cancellations, positive.
    pub cancelled_units: i64,
    /// Total of orders in pence.
    pub ordered_minor: i64,
    /// Total of cancellations in pence, positive.
    pub cancelled_minor: i64,
    /// Number of weeks by which all times were moved.
    pub shifted_weeks: i64,
    /// Time of the newest order or cancellation, after the move.
    pub newest: Option<DateTime<Utc>>,
}

impl InvoiceDetails {
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

/// Reason that a product's attribute is left out. In the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// It is about packing or shipping.
    Logistics,
    /// It is neither text, number nor boolean.
    NoValue,
    /// Another attribute has the same name.
    SameName,
    /// It is longer than an event may hold.
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

#[derive(Clone, Debug, Default, Serialize)]
pub struct CatalogueDetails {
    /// Products of the category `other`.
    pub without_category: u64,
    /// Products without a description, or with one that adds no word to the title.
    pub without_description: u64,
    pub without_price: u64,
    /// Products without a release time in the past: the time of the import is used.
    pub without_release: u64,
    pub attributes: u64,
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
