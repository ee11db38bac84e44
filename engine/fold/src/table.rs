//! Tables of projections: key columns, and groups of value columns, each with a merge operator.

use super::cell::{Cell, ColumnType};

/// Merge operator of a group: makes one value of two. Every operator commutes and associates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The sum, of integers only.
    Add,
    /// The larger value of each column.
    Max,
    /// The smaller value of each column.
    Min,
    /// The values with the smallest stamp (event time, event hash).
    First,
    /// The values with the largest stamp (event time, event hash).
    Last,
    /// The values present. For tables whose key contains the event's hash.
    Once,
}

impl Merge {
    /// True if the group stores the stamp of the event that its values come from.
    #[must_use]
    pub const fn is_stamped(self) -> bool {
        matches!(self, Merge::First | Merge::Last)
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name of the column in Postgres.
    pub name: &'static str,
    /// Type of its values.
    pub column_type: ColumnType,
}

/// Value columns that are merged together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Name, unique in the table. Stamped groups have the columns `<name>_at` and `<name>_by` before their own.
    pub name: &'static str,
    /// Operator that merges the columns.
    pub merge: Merge,
    /// Columns of the group, without the stamp's.
    pub columns: &'static [Column],
}

impl Group {
    /// Number of cells of a row in this group, stamp included.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.columns.len() + if self.merge.is_stamped() { 2 } else { 0 }
    }
}

/// A table of a projection. Declare it with [`table!`](crate::table).
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name, unique in the processor.
    pub name: &'static str,
    /// Description of its rows.
    pub description: &'static str,
    /// Columns of the primary key.
    pub key: &'static [Column],
    /// Groups of value columns; none for a set of keys.
    pub groups: &'static [Group],
    /// Columns with a B-tree index.
    pub indexes: &'static [&'static str],
    /// Vector columns with an index for approximate nearest neighbours by cosine.
    pub nearest: &'static [&'static str],
}

impl Table {
    /// Name of a column's index. Postgres keeps the names of tables and indexes in one namespace.
    #[must_use]
    pub fn index_name(&self, column: &str) -> String {
        format!("{}_{column}", self.name)
    }

    /// True if it has a vector column.
    #[must_use]
    pub fn has_vectors(&self) -> bool {
        let mut columns = self.groups.iter().flat_map(|group| group.columns);
        columns.any(|column| matches!(column.column_type, ColumnType::Vector))
    }

    /// Number of cells of a row, without its key.
    #[must_use]
    pub fn width(&self) -> usize {
        self.groups.iter().map(Group::width).sum()
    }

    /// Position of a group's first cell in a row.
    #[must_use]
    pub fn offset(&self, group: usize) -> usize {
        self.groups[..group].iter().map(Group::width).sum()
    }
}

/// The type that represents a table.
pub trait TableMarker {
    /// The table that the type represents.
    const TABLE: &'static Table;
}

/// A key of a table.
pub trait Key: Copy {
    /// The table that it belongs to.
    type Table: TableMarker;
    /// Columns in the order of their values.
    const COLUMNS: &'static [Column];

    /// Appends the encoded key.
    fn encode(&self, bytes: &mut Vec<u8>);
}

/// New values for one group of a table.
pub trait GroupOf {
    /// The table that it belongs to.
    type Table: TableMarker;
    /// Position of the group in the table.
    const GROUP: usize;
    /// Columns in the order of their values.
    const COLUMNS: &'static [Column];

    /// Appends one cell for each column.
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
            $($merge:ident $group:ident $(<$group_lifetime:lifetime>)? $group_name:literal {
                $($column:ident: $type:ty),+ $(,)?
            })*
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
