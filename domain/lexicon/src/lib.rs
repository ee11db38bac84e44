//! Shopping words: what colours, materials, patterns, styles, sizes and occasions are called in English and Korean, what
//! kinds of things shops sell, and what a product is by its text.
//!
//! All of it is tables (`data/*.tsv`), read once, and plain lookups: no I/O, no clock, no randomness, so that a fold may
//! use it. [`facets`] is what folds and ranking call; the rest is for reading what shoppers write.

mod attributes;
mod facets;
pub mod hangul;
mod kinds;
pub mod numbers;
mod phrases;
mod table;
mod translation;
mod values;
mod words;

pub use attributes::slot_of_attribute;
pub use facets::{Facets, facets};
pub use kinds::{Area, Kind, areas, kinds};
pub use phrases::Phrases;
pub use translation::{in_english, in_korean};
pub use values::{Slot, Value, canonical, names, traps, value, values, with_implied};
pub use words::{key, singular, split};
