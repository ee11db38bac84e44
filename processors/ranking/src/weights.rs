//! How much each sub-score counts.

use serde::{Deserialize, Serialize};

/// The sub-scores' weights, together 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Of the likeness of texts.
    pub content: f64,
    /// Of what is bought together.
    pub collaborative: f64,
    /// Of the fit with what was asked for.
    pub intent: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { content: 0.30, collaborative: 0.30, intent: 0.40 }
    }
}

/// With so many products in a history, the collaborative score counts by half of its weight; with none, not at all.
const HALF_TRUST: f64 = 4.0;

impl Weights {
    /// The weights for a member with so many products in their history: what is bought together says little of one who
    /// bought little, and what it does not count for, the other two share as they are weighted.
    #[must_use]
    pub fn shifted(self, history: usize) -> Self {
        let products = f64::from(u32::try_from(history).unwrap_or(u32::MAX));
        let collaborative = self.collaborative * products / (products + HALF_TRUST);
        let others = self.content + self.intent;
        if others <= 0.0 {
            return self;
        }
        let freed = self.collaborative - collaborative;
        Self {
            content: self.content + freed * self.content / others,
            collaborative,
            intent: self.intent + freed * self.intent / others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_the_history_the_more_it_counts_and_the_sum_stays() {
        let mut before = -1.0;
        for products in [0, 1, 4, 20, 1000] {
            let weights = Weights::default().shifted(products);
            assert!((weights.content + weights.collaborative + weights.intent - 1.0).abs() < 1e-12);
            assert!(weights.collaborative > before && weights.collaborative < 0.3);
            before = weights.collaborative;
        }
        assert!(Weights::default().shifted(0).collaborative.abs() < 1e-12);
        let only = Weights { content: 0.0, collaborative: 1.0, intent: 0.0 };
        assert_eq!(only.shifted(0), only);
    }
}
