//! Shopping words: English and Korean names of colours, materials, patterns, styles, sizes, occasions and product
//! kinds, and the facets of a product by its text.
//!
//! Tables (`data/*.tsv`) are read once and looked up: no I/O, no clock, no randomness, so that a fold may use them.
//! Folds and ranking call [`facets`]; the rest reads messages of shoppers.

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

pub use facets::{Facets, facets};
pub use kinds::{Area, Kind, areas, kinds};
pub use phrases::Phrases;
pub use translation::{in_english, in_korean};
pub use values::{Slot, Value, canonical, surface_forms, value, values, with_implied};
pub use words::{key, singular, split};
