//! Diversity by maximal marginal relevance (MMR): an item similar to those already chosen comes later.

use std::collections::BTreeSet;

/// Score that an item loses if its title has the same words as one already chosen.
const PENALTY: f64 = 0.15;

/// Indices of at most `limit` scored items in the order of the list. Ties keep their order.
pub(crate) fn order(scores: &[f64], words: &[&[String]], limit: usize) -> Vec<usize> {
    let sets: Vec<BTreeSet<&String>> = words.iter().map(|words| words.iter().collect()).collect();
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let mut similarity = vec![0.0_f64; scores.len()];
    let mut chosen = Vec::with_capacity(limit.min(scores.len()));
    while chosen.len() < limit && !left.is_empty() {
        let value = |item: usize| scores[item] - PENALTY * similarity[item];
        let mut best = 0;
        for position in 1..left.len() {
            if value(left[position]) > value(left[best]) {
                best = position;
            }
        }
        let next = left.remove(best);
        for item in &left {
            similarity[*item] = similarity[*item].max(overlap(&sets[*item], &sets[next]));
        }
        chosen.push(next);
    }
    chosen
}

/// Jaccard similarity of two sets of words: 0 to 1.
fn overlap(left: &BTreeSet<&String>, right: &BTreeSet<&String>) -> f64 {
    let count = |words: usize| f64::from(u32::try_from(words).unwrap_or(u32::MAX));
    let both = left.intersection(right).count();
    let any = left.len() + right.len() - both;
    if any == 0 { 0.0 } else { count(both) / count(any) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::normalised_words;

    #[test]
    fn a_variant_comes_after_another_product() {
        let titles = ["red lunch bag", "blue lunch bag", "lunch box"].map(normalised_words);
        let words: Vec<&[String]> = titles.iter().map(Vec::as_slice).collect();
        assert_eq!(order(&[0.90, 0.88, 0.85], &words, 3), [0, 2, 1]);
        assert_eq!(order(&[0.90, 0.88, 0.5], &words, 3), [0, 1, 2], "a much better score outweighs the penalty");
        assert_eq!(order(&[0.90, 0.88, 0.85], &words, 1), [0]);
    }
}
