//! The pure fold. A projection is three pure things: its [tables](Table), its [fold](Projection::fold) and its
//! [views](View). No offsets, batches, stores or clocks appear here.
//!
//! The merge operators commute and associate, so rows depend only on the *set* of events that were folded.

#![warn(missing_docs)]

mod cell;
mod deltas;
mod merge;
mod projection;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod view;

pub use cell::{Cell, ColumnType, ColumnValue, KeyColumn, KeyValue, decode_key};
pub use deltas::{Deltas, TableDeltas};
pub use projection::{BatchPolicy, FoldConfig, Processor, Projection};
pub use table::{Column, Group, GroupOf, Key, Merge, Table, TableMarker};
pub use view::{Target, View, ViewKeys, Watch};
