//! Deltas: the changes of a batch of events, one merged row for each key.

use std::hash::BuildHasher as _;

use chrono::{DateTime, Utc};
use hashbrown::{DefaultHashBuilder, HashTable};
use jangbogo_events::{Event, EventHash};

use super::cell::Cell;
use super::merge::merge_cells;
use super::projection::{FoldConfig, Processor};
use super::table::{GroupOf, Key, Table, TableMarker};

/// The changes of a set of events, table by table.
///
/// Stores merge them by the same operators: folding a history in one batch or in many gives the same rows.
#[derive(Clone, Debug)]
pub struct Deltas {
    tables: Vec<TableDeltas>,
    stamp: (DateTime<Utc>, EventHash),
    key: Vec<u8>,
    cells: Vec<Cell>,
}

impl Deltas {
    /// Empty deltas of a processor's tables.
    #[must_use]
    pub fn new(processor: &Processor) -> Self {
        Self {
            tables: processor.tables().map(TableDeltas::new).collect(),
            stamp: (DateTime::UNIX_EPOCH, 0),
            key: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Folds one event into every projection of a processor.
    pub fn fold(&mut self, processor: &Processor, config: &FoldConfig, event: &Event) {
        self.stamp = (event.envelope.time, event.envelope.hash());
        let topic = event.data.event_type().topic();
        for projection in processor.projections {
            if projection.reads.contains(&topic) {
                (projection.fold)(event, config, self);
            }
        }
    }

    /// Merges values into one group of one row.
    pub fn put<K: Key, G: GroupOf<Table = K::Table>>(&mut self, key: K, values: G) {
        self.key.clear();
        self.cells.clear();
        key.encode(&mut self.key);
        let table = K::Table::TABLE;
        if table.groups[G::GROUP].merge.is_stamped() {
            self.cells.push(Cell::Time(self.stamp.0));
            self.cells.push(Cell::Id(self.stamp.1));
        }
        values.cells(&mut self.cells);
        if let Some(deltas) = self.tables.iter_mut().find(|deltas| same(deltas.table, table)) {
            deltas.merge(&self.key, G::GROUP, &mut self.cells);
        }
    }

    /// Inserts a row into a set, unless it has it.
    pub fn insert<K: Key>(&mut self, key: K) {
        self.key.clear();
        key.encode(&mut self.key);
        if let Some(deltas) = self.tables.iter_mut().find(|deltas| same(deltas.table, K::Table::TABLE)) {
            deltas.row(&self.key);
        }
    }

    /// Merges the changes of another batch into these.
    pub fn merge(&mut self, other: &Deltas) {
        for (mine, theirs) in self.tables.iter_mut().zip(&other.tables) {
            for row in theirs.rows_in_key_order() {
                mine.row(theirs.key(row));
                for group in 0..mine.table.groups.len() {
                    mine.merge(theirs.key(row), group, &mut theirs.group(row, group).to_vec());
                }
            }
        }
    }

    /// Deltas of each table, in the processor's order.
    #[must_use]
    pub fn tables(&self) -> &[TableDeltas] {
        &self.tables
    }

    /// Number of changed rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(TableDeltas::len).sum()
    }
}

fn same(left: &Table, right: &Table) -> bool {
    std::ptr::eq(left, right) || left.name == right.name
}

/// The changed rows of one table. Keys and cells are stored contiguously: no allocation per row.
#[derive(Clone, Debug)]
pub struct TableDeltas {
    table: &'static Table,
    width: usize,
    hasher: DefaultHashBuilder,
    index: HashTable<u32>,
    key_bytes: Vec<u8>,
    key_ends: Vec<usize>,
    cells: Vec<Cell>,
}

impl TableDeltas {
    fn new(table: &'static Table) -> Self {
        Self {
            table,
            width: table.width(),
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            key_bytes: Vec::new(),
            key_ends: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// The table of these rows.
    #[must_use]
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// Number of changed rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.key_ends.len()
    }

    /// True if no row changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key_ends.is_empty()
    }

    /// Encoded key of a row.
    #[must_use]
    pub fn key(&self, row: usize) -> &[u8] {
        key_of(&self.key_bytes, &self.key_ends, row)
    }

    /// A row's cells of one group, stamps first if the group has them. `Null` if no event touched the group.
    #[must_use]
    pub fn group(&self, row: usize, group: usize) -> &[Cell] {
        let begin = row * self.width + self.table.offset(group);
        &self.cells[begin..begin + self.table.groups[group].width()]
    }

    /// A row's cells of all groups.
    #[must_use]
    pub fn cells(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.width..(row + 1) * self.width]
    }

    /// Positions of the rows, sorted by their encoded keys.
    #[must_use]
    pub fn rows_in_key_order(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.len()).collect();
        rows.sort_unstable_by(|left, right| self.key(*left).cmp(self.key(*right)));
        rows
    }

    fn row(&mut self, key: &[u8]) -> usize {
        let Self { hasher, index, key_bytes, key_ends, .. } = self;
        let hash = hasher.hash_one(key);
        let position = |row: &u32| *row as usize;
        if let Some(row) = index.find(hash, |row| key_of(key_bytes, key_ends, position(row)) == key) {
            return position(row);
        }
        let row = key_ends.len();
        let stored = u32::try_from(row).unwrap_or(u32::MAX);
        index.insert_unique(hash, stored, |row| hasher.hash_one(key_of(key_bytes, key_ends, position(row))));
        key_bytes.extend_from_slice(key);
        key_ends.push(key_bytes.len());
        self.cells.resize((row + 1) * self.width, Cell::Null);
        row
    }

    fn merge(&mut self, key: &[u8], group: usize, new: &mut [Cell]) {
        let row = self.row(key);
        let begin = row * self.width + self.table.offset(group);
        let group = &self.table.groups[group];
        merge_cells(group.merge, &mut self.cells[begin..begin + group.width()], new);
    }
}

fn key_of<'a>(bytes: &'a [u8], ends: &[usize], row: usize) -> &'a [u8] {
    let begin = if row == 0 { 0 } else { ends[row - 1] };
    &bytes[begin..ends[row]]
}
