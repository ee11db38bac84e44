//! A projection's tables: key columns, and groups of value columns each with a merge operator.

use super::cell::{Cell, ColumnType};

/// How two values of a group become one. Each operator commutes and associates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The sum. Integers only.
    Add,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// The value with the smallest (event time, event hash).
    First,
    /// The value with the largest (event time, event hash).
    Last,
    /// The value that is there. For tables whose key holds the event's hash.
    Once,
}

impl Merge {
    /// Whether the group keeps the stamp of the event its values come from.
    #[must_use]
    pub const fn is_stamped(self) -> bool {
        matches!(self, Merge::First | Merge::Last)
    }
}

/// A column's name and type.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// As in Postgres.
    pub name: &'static str,
    /// Of every value in it.
    pub column_type: ColumnType,
}

/// Value columns that merge together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Unique in the table; stamped groups have the columns `<name>_at` and `<name>_by` before their own.
    pub name: &'static str,
    /// How.
    pub merge: Merge,
    /// What.
    pub columns: &'static [Column],
}

impl Group {
    /// How many cells a row has for this group, stamps included.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.columns.len() + if self.merge.is_stamped() { 2 } else { 0 }
    }
}

/// A table of a projection. Declare it with [`table!`](crate::table).
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Unique in the processor.
    pub name: &'static str,
    /// What it holds, for people.
    pub description: &'static str,
    /// The primary key.
    pub key: &'static [Column],
    /// None for a set: rows that are only there.
    pub groups: &'static [Group],
    /// Columns with an index of their own.
    pub indexes: &'static [&'static str],
    /// Columns of vectors with an index that finds the nearest by cosine, approximately.
    pub nearest: &'static [&'static str],
}

impl Table {
    /// Whether it holds vectors.
    #[must_use]
    pub fn has_vectors(&self) -> bool {
        let mut columns = self.groups.iter().flat_map(|group| group.columns);
        columns.any(|column| matches!(column.column_type, ColumnType::Vector))
    }

    /// How many cells a row has besides its key.
    #[must_use]
    pub fn width(&self) -> usize {
        self.groups.iter().map(Group::width).sum()
    }

    /// Where a group's cells begin in a row.
    #[must_use]
    pub fn offset(&self, group: usize) -> usize {
        self.groups[..group].iter().map(Group::width).sum()
    }
}

/// The type that stands for a table.
pub trait TableMarker {
    /// The table.
    const TABLE: &'static Table;
}

/// A key of a table.
pub trait Key: Copy {
    /// Whose.
    type Table: TableMarker;
    /// What it is made of.
    const COLUMNS: &'static [Column];

    /// Appends the key's bytes.
    fn encode(&self, bytes: &mut Vec<u8>);
}

/// New values for one group of a table.
pub trait GroupOf {
    /// Whose.
    type Table: TableMarker;
    /// Which group.
    const GROUP: usize;
    /// What it is made of.
    const COLUMNS: &'static [Column];

    /// Appends one cell a column.
    fn cells(self, cells: &mut Vec<Cell>);
}

/// Declares a table: a marker type, its key, and its groups.
///
/// ```
/// # use chrono::NaiveDate;
/// jangbogo_fold::table! {
///     /// Units of a product sold on a day.
///     pub ProductDays "product_days" index [day] {
///         key ProductDay<'a> { product_id: &'a str, day: NaiveDate }
///         add Sales "sales" { units: i64, revenue_minor: i64 }
///     }
/// }
/// ```
#[macro_export]
macro_rules! table {
    (
        $(#[doc = $description:literal])+
        pub $marker:ident $table_name:literal $(index [$($index:ident),+])? $(nearest [$($nearest:ident),+])? {
            key $key:ident $(<$key_lifetime:lifetime>)? { $($key_column:ident: $key_type:ty),+ $(,)? }
            $($merge:ident $group:ident $(<$group_lifetime:lifetime>)? $group_name:literal { $($column:ident: $type:ty),+ $(,)? })*
        }
    ) => {
        $(#[doc = $description])+
        #[derive(Clone, Copy, Debug)]
        pub struct $marker;

        impl $crate::TableMarker for $marker {
            const TABLE: &'static $crate::Table = &$crate::Table {
                name: $table_name,
                description: concat!($($description),+),
                key: <$key as $crate::Key>::COLUMNS,
                groups: &[$($crate::Group {
                    name: $group_name,
                    merge: $crate::table!(@merge $merge),
                    columns: <$group as $crate::GroupOf>::COLUMNS,
                }),*],
                indexes: &[$($(stringify!($index)),+)?],
                nearest: &[$($(stringify!($nearest)),+)?],
            };
        }

        #[doc = concat!("A key of `", $table_name, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $key $(<$key_lifetime>)? {
            $(#[doc = concat!("`", stringify!($key_column), "`")] pub $key_column: $key_type,)+
        }

        impl $(<$key_lifetime>)? $crate::Key for $key $(<$key_lifetime>)? {
            type Table = $marker;
            const COLUMNS: &'static [$crate::Column] = &[$($crate::Column {
                name: stringify!($key_column),
                column_type: <$key_type as $crate::ColumnValue>::TYPE,
            }),+];
            fn encode(&self, bytes: &mut Vec<u8>) {
                $($crate::KeyColumn::encode(&self.$key_column, bytes);)+
            }
        }

        $crate::table!(@groups $marker $table_name 0_usize;
            $($group $(<$group_lifetime>)? $group_name { $($column: $type),+ })*);
    };

    (@merge add) => { $crate::Merge::Add };
    (@merge max) => { $crate::Merge::Max };
    (@merge min) => { $crate::Merge::Min };
    (@merge first) => { $crate::Merge::First };
    (@merge last) => { $crate::Merge::Last };
    (@merge once) => { $crate::Merge::Once };

    (@groups $marker:ident $table_name:literal $position:expr;) => {};
    (@groups $marker:ident $table_name:literal $position:expr;
        $group:ident $(<$lifetime:lifetime>)? $group_name:literal { $($column:ident: $type:ty),+ } $($rest:tt)*
    ) => {
        #[doc = concat!("Values of the group `", $group_name, "` of `", $table_name, "`.")]
        #[derive(Clone, Debug)]
        pub struct $group $(<$lifetime>)? {
            $(#[doc = concat!("`", stringify!($column), "`")] pub $column: $type,)+
        }

        impl $(<$lifetime>)? $crate::GroupOf for $group $(<$lifetime>)? {
            type Table = $marker;
            const GROUP: usize = $position;
            const COLUMNS: &'static [$crate::Column] = &[$($crate::Column {
                name: stringify!($column),
                column_type: <$type as $crate::ColumnValue>::TYPE,
            }),+];
            fn cells(self, cells: &mut Vec<$crate::Cell>) {
                $(cells.push($crate::ColumnValue::into_cell(self.$column));)+
            }
        }

        $crate::table!(@groups $marker $table_name $position + 1_usize; $($rest)*);
    };
}
