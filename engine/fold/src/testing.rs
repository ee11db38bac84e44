//! In-memory fold for tests and examples: given facts, it folds them and shows the rows of each table as text.

#![expect(clippy::unwrap_used, reason = "broken input of a test is a panic")]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jangbogo_events::{
    Currency, Data, Envelope, Event, MemberId, OrderCancelled, OrderCompleted, OrderId, OrderItem, ProductId, Quantity,
};

use crate::{
    BatchPolicy, Cell, ColumnType, Deltas, FoldConfig, KeyValue, Processor, Projection, TableDeltas, decode_key,
};

/// Configuration of a shop nine hours east of UTC.
pub const SEOUL: FoldConfig = FoldConfig { time_zone: chrono_tz::Asia::Seoul, embedding_model: None };

/// Data with the time of its event.
#[derive(Clone, Debug)]
pub struct Fact(DateTime<Utc>, Data);

/// A fact at 12:00 in Seoul on 1 March 2011.
impl<D: Into<Data>> From<D> for Fact {
    fn from(data: D) -> Self {
        at("2011-03-01T12:00:00+09:00", data)
    }
}

/// A fact at an RFC 3339 time.
///
/// # Panics
/// When the time is malformed.
#[must_use]
pub fn at(time: &str, data: impl Into<Data>) -> Fact {
    Fact(DateTime::parse_from_rfc3339(time).unwrap().to_utc(), data.into())
}

/// A member of that id.
///
/// # Panics
/// When the id is invalid.
#[must_use]
pub fn member(id: &str) -> MemberId {
    MemberId::new(id).unwrap()
}

/// A product of that id.
///
/// # Panics
/// When the id is invalid.
#[must_use]
pub fn product(id: &str) -> ProductId {
    ProductId::new(id).unwrap()
}

/// An order in KRW with lines of (product, units, price of all units).
///
/// # Panics
/// When an id or a quantity is invalid.
#[must_use]
pub fn order(member_id: Option<&str>, lines: &[(&str, i64, i64)]) -> OrderCompleted {
    OrderCompleted {
        order_id: OrderId::new("order").unwrap(),
        member_id: member_id.map(member),
        currency: Currency::new("KRW").unwrap(),
        items: items(lines),
    }
}

/// A cancellation in KRW with lines of (product, units, price of all units).
///
/// # Panics
/// When an id or a quantity is invalid.
#[must_use]
pub fn cancellation(member_id: Option<&str>, lines: &[(&str, i64, i64)]) -> OrderCancelled {
    OrderCancelled {
        cancellation_id: OrderId::new("cancellation").unwrap(),
        order_id: Some(OrderId::new("order").unwrap()),
        member_id: member_id.map(member),
        currency: Currency::new("KRW").unwrap(),
        items: items(lines),
    }
}

fn items(lines: &[(&str, i64, i64)]) -> Vec<OrderItem> {
    let item = |(product_id, units, total_minor): &(&str, i64, i64)| OrderItem {
        product_id: product(product_id),
        quantity: Quantity::new(*units).unwrap(),
        total_minor: *total_minor,
    };
    lines.iter().map(item).collect()
}

/// Folds facts in this order. The events' ids are 1, 2, 3 ….
#[must_use]
pub fn given<const N: usize>(projection: &'static Projection, facts: [Fact; N]) -> Folded {
    given_in(&SEOUL, projection, facts)
}

/// As [`given`], with another configuration.
#[must_use]
pub fn given_in<const N: usize>(config: &FoldConfig, projection: &'static Projection, facts: [Fact; N]) -> Folded {
    let envelope = |number: usize, time| Envelope::new(number.to_string(), "test", time);
    let events = (1..).zip(facts).map(|(number, Fact(time, data))| Event { envelope: envelope(number, time), data });
    let processor = Processor {
        name: "test",
        fold_version: 1,
        batch_policy: BatchPolicy::Immediate,
        projections: Vec::leak(vec![projection]),
    };
    Folded::new(&processor, config, &events.collect::<Vec<_>>())
}

/// The rows that a history was folded to.
#[derive(Debug)]
pub struct Folded {
    deltas: Deltas,
    ids: BTreeMap<u128, String>,
}

impl Folded {
    /// Folds events in this order.
    #[must_use]
    pub fn new(processor: &Processor, config: &FoldConfig, events: &[Event]) -> Self {
        let mut deltas = Deltas::new(processor);
        let mut ids = BTreeMap::new();
        for event in events {
            deltas.fold(processor, config, event);
            ids.insert(event.envelope.hash(), event.envelope.id.clone());
        }
        Self { deltas, ids }
    }

    /// A table's rows in the order of keys, such as `kim lamp: orders=1 units=2`. Nulls and stamps are left out; an
    /// event's hash is shown as `#` and its id.
    ///
    /// # Panics
    /// When the processor has no such table, or a cell has another type than its column.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<String> {
        let deltas = self.deltas.tables().iter().find(|deltas| deltas.table().name == table).unwrap();
        deltas.rows_in_key_order().into_iter().map(|row| self.row(deltas, row)).collect()
    }

    fn row(&self, deltas: &TableDeltas, row: usize) -> String {
        let table = deltas.table();
        let types = table.key.iter().map(|column| column.column_type);
        let key: Vec<String> = decode_key(types, deltas.key(row)).map(|value| self.key(value)).collect();
        let mut text = format!("{}:", key.join(" "));
        for (position, group) in table.groups.iter().enumerate() {
            let stamps = if group.merge.is_stamped() { 2 } else { 0 };
            for (column, cell) in group.columns.iter().zip(&deltas.group(row, position)[stamps..]) {
                if *cell != Cell::Null {
                    assert_eq!(Some(column.column_type), type_of(cell), "{}.{}", table.name, column.name);
                    text.extend([" ", column.name, "=", &self.cell(cell)]);
                }
            }
        }
        text
    }

    fn key(&self, value: KeyValue<'_>) -> String {
        match value {
            KeyValue::Text(text) => text.to_owned(),
            KeyValue::Integer(number) => number.to_string(),
            KeyValue::Day(day) => day.to_string(),
            KeyValue::Time(time) => time.to_rfc3339(),
            KeyValue::Id(id) => self.id(id),
        }
    }

    fn cell(&self, cell: &Cell) -> String {
        match cell {
            Cell::Null => "null".to_owned(),
            Cell::Text(text) => format!("{text:?}"),
            Cell::Integer(number) => number.to_string(),
            Cell::Boolean(flag) => flag.to_string(),
            Cell::Day(day) => day.to_string(),
            Cell::Time(time) => time.to_rfc3339(),
            Cell::Id(id) => self.id(*id),
            Cell::Vector(bits) => format!("[{}…]", f32::from_bits(bits[0])),
        }
    }

    fn id(&self, id: u128) -> String {
        self.ids.get(&id).map_or_else(|| format!("{id:032x}"), |id| format!("#{id}"))
    }
}

fn type_of(cell: &Cell) -> Option<ColumnType> {
    match cell {
        Cell::Null => None,
        Cell::Text(_) => Some(ColumnType::Text),
        Cell::Integer(_) => Some(ColumnType::Integer),
        Cell::Boolean(_) => Some(ColumnType::Boolean),
        Cell::Day(_) => Some(ColumnType::Day),
        Cell::Time(_) => Some(ColumnType::Time),
        Cell::Id(_) => Some(ColumnType::Id),
        Cell::Vector(_) => Some(ColumnType::Vector),
    }
}
