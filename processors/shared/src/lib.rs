//! Projections that several processors host, each with tables of its own in every generation.

pub mod catalogue;
pub mod conversation;
pub mod history;
pub mod preferences;
pub mod vectors;
