//! A list of variants of one product is of no use: what is like what is already chosen comes later.

use std::collections::BTreeSet;

/// What an item loses that has the same words in its title as one already chosen.
const PENALTY: f64 = 0.15;

/// The places of the scored items in the order in which they are shown: at most so many. Ties keep their order.
pub fn order(scores: &[f64], words: &[&[String]], limit: usize) -> Vec<usize> {
    let sets: Vec<BTreeSet<&String>> = words.iter().map(|words| words.iter().collect()).collect();
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let mut likeness = vec![0.0_f64; scores.len()];
    let mut chosen = Vec::with_capacity(limit.min(scores.len()));
    while chosen.len() < limit && !left.is_empty() {
        let value = |item: usize| scores[item] - PENALTY * likeness[item];
        let mut best = 0;
        for place in 1..left.len() {
            if value(left[place]) > value(left[best]) {
                best = place;
            }
        }
        let next = left.remove(best);
        for item in &left {
            likeness[*item] = likeness[*item].max(overlap(&sets[*item], &sets[next]));
        }
        chosen.push(next);
    }
    chosen
}

/// The share of the words of both that are words of each: 0 to 1.
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
    fn a_variant_makes_room_for_something_else() {
        let titles = ["red lunch bag", "blue lunch bag", "lunch box"].map(normalised_words);
        let words: Vec<&[String]> = titles.iter().map(Vec::as_slice).collect();
        assert_eq!(order(&[0.90, 0.88, 0.85], &words, 3), [0, 2, 1]);
        assert_eq!(order(&[0.90, 0.88, 0.5], &words, 3), [0, 1, 2], "not at any price");
        assert_eq!(order(&[0.90, 0.88, 0.85], &words, 1), [0]);
    }
}
