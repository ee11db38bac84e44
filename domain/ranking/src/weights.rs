//! Weights of the sub-scores.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Weights of the sub-scores, which sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    pub content: f64,
    pub collaborative: f64,
    pub intent: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { content: 0.30, collaborative: 0.30, intent: 0.40 }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("weights are three numbers, none negative and not all 0, such as 0.3,0.3,0.4: {0:?} is not")]
pub struct InvalidWeights(String);

impl FromStr for Weights {
    type Err = InvalidWeights;

    /// Parses `content,collaborative,intent`, and scales them to sum to 1.
    fn from_str(text: &str) -> Result<Self, InvalidWeights> {
        let invalid = || InvalidWeights(text.to_owned());
        let numbers: Vec<f64> =
            text.split(',').map(|number| number.trim().parse()).collect::<Result<_, _>>().map_err(|_| invalid())?;
        let [content, collaborative, intent] = numbers[..] else { return Err(invalid()) };
        let sum = content + collaborative + intent;
        let all_are_weights = numbers.iter().all(|number| number.is_finite() && *number >= 0.0);
        if !all_are_weights || sum <= 0.0 {
            return Err(invalid());
        }
        Ok(Self { content: content / sum, collaborative: collaborative / sum, intent: intent / sum })
    }
}

/// Number of products in a history at which the collaborative score has half of its weight; without a history it has
/// none.
const HALF_TRUST: f64 = 4.0;

impl Weights {
    /// Weights for a member with `history` products. Co-purchase says little about a member with a short history, so
    /// part of its weight goes to the other two, in proportion to theirs.
    pub(crate) fn shifted(self, history: usize) -> Self {
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
        assert_eq!("3,3,4".parse::<Weights>().unwrap(), Weights::default());
        for text in ["", "1,1", "1,1,-1", "0,0,0", "a,b,c", "1,1,1,1", "nan,1,1"] {
            assert!(text.parse::<Weights>().is_err(), "{text}");
        }
        let only = Weights { content: 0.0, collaborative: 1.0, intent: 0.0 };
        assert_eq!(only.shifted(0), only);
    }
}
