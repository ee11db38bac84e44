//! Passes over the spans of a message, a module for each kind of slot or modifier that they fill.

pub mod amounts;
pub mod context_mentions;
pub mod corrections;
pub mod indifference;
pub mod negation;
pub mod out_of_vocabulary;
pub mod prices;
pub mod product_kind;
pub mod quantities;
pub mod references;
pub mod retraction;
pub mod sentiment;
