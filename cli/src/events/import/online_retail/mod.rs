//! Imports Online Retail II as a shop's events.
//!
//! The file has one line for each line of an invoice, and more than sales: postage, discounts, fees, bad debts and the
//! stock-keepers' own bookings. The rules, in the order in which they are applied to a line:
//!
//! 1. A line that cannot be read is reported with its number and reason; the import goes on with the next.
//! 2. An invoice whose number begins with `C` is a cancellation: its quantities are negative, and are taken back as
//!    positive ones. A positive quantity on a cancellation, a negative one elsewhere (stock written off) and a quantity
//!    of zero are skipped.
//! 3. Codes are compared without spaces around them and in capitals: `85123a` and `85123A` are one product.
//! 4. A product's code is five digits and at most two letters (`22423`, `85123A`, `84997BL`), begins with `DCGS`, is
//!    `SP` and four digits, or is `PADS`. Every other code is a service, not a product, and its line is left out:
//!    `POST`, `DOT` and `C2` (postage), `M` (manual), `D` (discount), `S` (samples), `B` (bad debt), `ADJUST`,
//!    `AMAZONFEE`, `BANK CHARGES`, `gift_0001_…` (vouchers are money), `TEST001`.
//! 5. A negative price is skipped.
//! 6. An invoice of a single line with neither price nor customer is a stock-keeping entry ("found", "damaged", no text
//!    at all): it is skipped, and its text never becomes a title. Free items of real orders are kept.
//!
//! What is left of an invoice is an order or a cancellation: an item for each line (a product may be on several, as in
//! the file), the line total being price × quantity rounded once, half to even; the earliest of its lines' times; the
//! customer as member, or none. An invoice with nothing left makes no event.
//!
//! Products are those of the orders and cancellations. A product's title is the description that most of its lines with
//! a price have; its price is that of the latest order line whose price is a penny at least (of the latest cancellation,
//! if it was never ordered at a price); it is put on sale at its first invoice's time; [`category`] derives its category
//! from its title.
//!
//! Times are read in the shop's time zone. Ids are derived from the file's name and the invoice (or product), so that
//! the same file gives the same ids whenever and wherever it is imported; the first occurrence of an id counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Datelike as _, Duration, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use jangbogo_events::{
    CategoryId, Currency, Envelope, Event, MemberId, Money, OrderCancelled, OrderCompleted, OrderId, OrderItem,
    ProductId, ProductUpserted, Quantity, Text,
};

use super::line::{Line, LineReader, Price};
use super::report::{Details, InvoiceDetails, Report, Skip, UnreadableLine};
use super::{Imported, Settings, category, input};

/// Maximum number of items of an order; above the number of lines of any invoice.
const MAX_LINES_OF_INVOICE: usize = 10_000;

/// Reads a file. Invalid lines are reported; fails if columns are missing.
pub fn read(input: &mut dyn BufRead, settings: &Settings) -> anyhow::Result<Imported> {
    let mut reading = InvoiceReader::default();
    let unreadable = reading.lines(input)?;
    let invoices = reading.invoices();
    let InvoiceReader { lines, mut details, .. } = reading;
    let newest = invoices.iter().map(|invoice| invoice.time).max();
    let shift = match newest {
        Some(newest) if settings.shifts_orders => {
            whole_weeks(newest, settings.now.with_timezone(&settings.time_zone).naive_local())
        }
        _ => Duration::zero(),
    };
    let clock = Clock { shift, time_zone: settings.time_zone };
    details.shifted_weeks = shift.num_weeks();
    details.newest = newest.map(|newest| clock.time(newest)).transpose()?;

    let currency = Currency::new("GBP")?;
    let mut events = Vec::with_capacity(invoices.len() + 5_000);
    for (code, product) in products(&invoices) {
        let envelope = settings.envelope("product", &code, clock.time(product.first_time)?);
        events.push(Event::new(envelope, product.upserted(code, currency)?));
    }
    let products = events.len() as u64;
    let cancellations = invoices.iter().filter(|invoice| invoice.is_cancellation).count() as u64;
    let orders = invoices.len() as u64 - cancellations;
    for invoice in invoices {
        let envelope = settings.envelope("invoice", &invoice.number, clock.time(invoice.time)?);
        invoice.add_to(&mut details);
        events.push(invoice.event(envelope, currency));
    }
    let details = Details::Invoices(details);
    let report = Report { lines, unreadable, products, orders, cancellations, details, produced: BTreeMap::new() };
    Ok(Imported { events, report })
}

/// The shift by whole weeks that moves `newest` into the seven days before now.
fn whole_weeks(newest: NaiveDateTime, now: NaiveDateTime) -> Duration {
    let week = Duration::weeks(1).num_milliseconds();
    Duration::weeks((now - newest).num_milliseconds().div_euclid(week))
}

/// Converts the file's times to the events'.
struct Clock {
    shift: Duration,
    time_zone: Tz,
}

impl Clock {
    fn time(&self, local: NaiveDateTime) -> anyhow::Result<DateTime<Utc>> {
        let shifted = local
            .checked_add_signed(self.shift)
            .filter(|time| (1900..=2999).contains(&time.year()))
            .ok_or_else(|| anyhow!("the time {local} is not within the years 1900 to 2999, moved as it must be"))?;
        // A time in the hour that is skipped when daylight saving begins is read as one hour later.
        let local = self.time_zone.from_local_datetime(&shifted).earliest();
        let time = local.or_else(|| self.time_zone.from_local_datetime(&(shifted + Duration::hours(1))).earliest());
        Ok(time.with_context(|| format!("the time {shifted} does not exist in {}", self.time_zone))?.to_utc())
    }
}

/// A line of an invoice that was not skipped.
struct Item {
    code: String,
    description: Option<String>,
    time: NaiveDateTime,
    line_number: u64,
    price: Price,
    sold: OrderItem,
}

struct Invoice {
    number: OrderId,
    is_cancellation: bool,
    member_id: Option<MemberId>,
    time: NaiveDateTime,
    items: Vec<Item>,
}

impl Invoice {
    fn add_to(&self, details: &mut InvoiceDetails) {
        let units: i64 = self.items.iter().map(|item| item.sold.quantity.units()).sum();
        let minor: i64 = self.items.iter().map(|item| item.sold.total_minor).sum();
        let lines = self.items.len() as u64;
        if self.is_cancellation {
            details.cancellation_lines += lines;
            details.cancelled_units += units;
            details.cancelled_minor += minor;
        } else {
            details.order_lines += lines;
            details.ordered_units += units;
            details.ordered_minor += minor;
        }
    }

    fn event(self, envelope: Envelope, currency: Currency) -> Event {
        let items = self.items.into_iter().map(|item| item.sold).collect();
        let member_id = self.member_id;
        if self.is_cancellation {
            let cancellation_id = self.number;
            return Event::new(
                envelope,
                OrderCancelled { cancellation_id, order_id: None, member_id, currency, items },
            );
        }
        Event::new(envelope, OrderCompleted { order_id: self.number, member_id, currency, items })
    }
}

/// The invoice's lines read so far.
#[derive(Default)]
struct OpenInvoice {
    lines: u64,
    first_line: u64,
    times: BTreeSet<NaiveDateTime>,
    member_id: Option<MemberId>,
    items: Vec<Item>,
}

#[derive(Default)]
struct InvoiceReader {
    lines: u64,
    details: InvoiceDetails,
    invoices: HashMap<OrderId, OpenInvoice>,
    spellings: HashMap<String, BTreeSet<String>>,
}

impl InvoiceReader {
    /// Reads all lines. Returns those that are invalid.
    fn lines(&mut self, input: &mut dyn BufRead) -> anyhow::Result<Vec<UnreadableLine>> {
        let mut header = Vec::new();
        input.read_until(b'\n', &mut header).context("cannot read the first line")?;
        let mut reader = LineReader::from_header(&header).map_err(|reason| anyhow!(reason))?;
        input::each_line(input, 2, |line, line_number| {
            self.lines += 1;
            self.add_line(reader.read(line)?, line_number)
        })
    }

    /// Applies the rules for a single line.
    fn add_line(&mut self, line: Line, line_number: u64) -> Result<(), String> {
        let code = line.code.to_uppercase();
        let is_cancellation = is_cancellation(&line.invoice);
        let skip = if line.quantity == 0 {
            Some(Skip::ZeroQuantity)
        } else if line.quantity < 0 && !is_cancellation {
            Some(Skip::NegativeQuantity)
        } else if line.quantity > 0 && is_cancellation {
            Some(Skip::PositiveQuantityOnCancellation)
        } else if !is_product(&code) {
            Some(Skip::Service)
        } else if line.price.is_negative() {
            Some(Skip::NegativePrice)
        } else {
            None
        };
        let item = match skip {
            Some(_) => None,
            None => Some(item(&line, &code, line_number)?),
        };

        let invoice = self.invoices.entry(line.invoice).or_default();
        if item.is_some() && invoice.items.len() == MAX_LINES_OF_INVOICE {
            return Err(format!("its invoice has more than {MAX_LINES_OF_INVOICE} items"));
        }
        if invoice.lines == 0 {
            invoice.first_line = line_number;
        }
        invoice.lines += 1;
        invoice.times.insert(line.time);
        invoice.member_id = invoice.member_id.take().or(line.member_id);
        invoice.items.extend(item);
        if let Some(skip) = skip {
            self.details.skip(skip);
        }
        if skip == Some(Skip::Service) {
            *self.details.services.entry(code.clone()).or_default() += 1;
        }
        let spellings = self.spellings.entry(code).or_default();
        if !spellings.contains(&line.code) {
            spellings.insert(line.code);
        }
        Ok(())
    }

    /// Applies the rules for whole invoices, which are sorted by time and then by the file's order.
    fn invoices(&mut self) -> Vec<Invoice> {
        self.details.merged_spellings = self.spellings.values().map(|spellings| spellings.len() as u64 - 1).sum();
        self.details.invoices = self.invoices.len() as u64;
        let mut kept = Vec::with_capacity(self.invoices.len());
        for (number, mut invoice) in std::mem::take(&mut self.invoices) {
            if invoice.times.len() > 1 {
                self.details.invoices_with_several_times += 1;
            }
            let is_stock_keeping = invoice.lines == 1
                && invoice.member_id.is_none()
                && invoice.items.iter().all(|item| item.price.is_zero());
            if is_stock_keeping && !invoice.items.is_empty() {
                self.details.skip(Skip::StockKeeping);
                invoice.items.clear();
            }
            if invoice.items.is_empty() {
                self.details.empty_invoices += 1;
                continue;
            }
            let Some(&time) = invoice.times.first() else { continue };
            let is_cancellation = is_cancellation(&number);
            let OpenInvoice { first_line, member_id, items, .. } = invoice;
            kept.push((first_line, Invoice { number, is_cancellation, member_id, time, items }));
        }
        kept.sort_by_key(|(first_line, invoice)| (invoice.time, *first_line));
        kept.into_iter().map(|(_, invoice)| invoice).collect()
    }
}

fn is_cancellation(invoice: &str) -> bool {
    invoice.starts_with(['C', 'c'])
}

/// Rule 4: true for a product's code, in capitals.
fn is_product(code: &str) -> bool {
    let bytes = code.as_bytes();
    let digits = |from: usize, to: usize| bytes.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let numbered = digits(0, 5) && bytes.len() <= 7 && bytes[5..].iter().all(u8::is_ascii_uppercase);
    numbered
        || code.starts_with("DCGS")
        || (code.starts_with("SP") && bytes.len() == 6 && digits(2, 6))
        || code == "PADS"
}

fn item(line: &Line, code: &str, line_number: u64) -> Result<Item, String> {
    let units = line.quantity.checked_abs().ok_or("Quantity is out of range")?;
    let quantity = Quantity::new(units).map_err(|error| format!("Quantity: {error}"))?;
    let sold = OrderItem {
        product_id: ProductId::new(code).map_err(|error| format!("StockCode: {error}"))?,
        quantity,
        total_minor: line.price.total_minor(quantity),
    };
    if sold.total_minor > OrderItem::MAX_TOTAL_MINOR {
        return Err(format!("its total is more than {} pence", OrderItem::MAX_TOTAL_MINOR));
    }
    Ok(Item {
        code: code.to_owned(),
        description: line.description.clone(),
        time: line.time,
        line_number,
        price: line.price,
        sold,
    })
}

/// A product as derived from the invoices.
struct Product {
    first_time: NaiveDateTime,
    /// Number of lines with a price per description; lines without one are not counted.
    descriptions: BTreeMap<String, u64>,
    /// The latest price: orders before cancellations, then by time, then by line.
    price: Option<((bool, NaiveDateTime, u64), i64)>,
}

/// Every product of the invoices, in the order in which they were put on sale.
fn products(invoices: &[Invoice]) -> Vec<(String, Product)> {
    let mut products: BTreeMap<&str, Product> = BTreeMap::new();
    for invoice in invoices {
        for item in &invoice.items {
            let product = products.entry(&item.code).or_insert_with(|| Product {
                first_time: invoice.time,
                descriptions: BTreeMap::new(),
                price: None,
            });
            product.first_time = product.first_time.min(invoice.time);
            if let Some(description) = &item.description {
                let lines = u64::from(!item.price.is_zero());
                match product.descriptions.get_mut(description) {
                    Some(count) => *count += lines,
                    None => drop(product.descriptions.insert(description.clone(), lines)),
                }
            }
            let minor = item.price.minor();
            let rank = (!invoice.is_cancellation, item.time, item.line_number);
            if minor > 0 && product.price.is_none_or(|(best, _)| rank > best) {
                product.price = Some((rank, minor));
            }
        }
    }
    let mut products: Vec<(String, Product)> =
        products.into_iter().map(|(code, product)| (code.to_owned(), product)).collect();
    products.sort_by(|(code, product), (other_code, other)| {
        (product.first_time, code).cmp(&(other.first_time, other_code))
    });
    products
}

impl Product {
    fn upserted(self, code: String, currency: Currency) -> anyhow::Result<ProductUpserted> {
        // Of equally frequent descriptions the last in alphabetical order: any fixed choice would do.
        let best = self.descriptions.into_iter().max_by_key(|(_, lines)| *lines).map(|(description, _)| description);
        let title: String = best.as_deref().unwrap_or(&code).chars().take(512).collect();
        Ok(ProductUpserted {
            category: Some(CategoryId::new(
                category::find(category::ONLINE_RETAIL, &title).unwrap_or(category::OTHER),
            )?),
            title: Text::new(title)?,
            product_id: ProductId::new(code)?,
            description: None,
            brand: None,
            price: self.price.map(|(_, amount_minor)| Money { amount_minor, currency }),
            stock: None,
            attributes: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests;
