//! Passes over the spans of a message, a module for each kind of slot or modifier that they fill.

pub(crate) mod amounts;
pub(crate) mod context_mentions;
pub(crate) mod corrections;
pub(crate) mod indifference;
pub(crate) mod negation;
pub(crate) mod out_of_vocabulary;
pub(crate) mod prices;
pub(crate) mod product_kind;
pub(crate) mod quantities;
pub(crate) mod references;
pub(crate) mod retraction;
pub(crate) mod sentiment;
