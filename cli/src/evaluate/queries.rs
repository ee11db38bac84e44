//! Labelled Korean queries for the demo shop: see `cli/data/README.md`.

use std::collections::HashMap;

use serde::Deserialize;

use super::ranks::discounted_gain;

const QUERIES: &str = include_str!("../../data/korean-queries.jsonl");
/// Number of products of a list that are judged.
pub(super) const LISTED: usize = 10;

#[derive(Deserialize)]
pub(super) struct Query {
    pub(super) query: String,
    /// Grade by product: 2 for what the query asks for, 1 for similar products.
    pub(super) relevant: HashMap<String, u8>,
}

impl Query {
    pub(super) fn all() -> anyhow::Result<Vec<Self>> {
        Ok(QUERIES.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// nDCG@10 of products in their order.
    pub(super) fn gain<'a>(&self, found: impl Iterator<Item = &'a str>) -> f64 {
        let grades = found.map(|id| self.relevant.get(id).copied().unwrap_or_default());
        discounted_gain(grades, self.relevant.values().copied(), LISTED)
    }
}
