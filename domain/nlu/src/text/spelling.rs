//! Spelling correction: one letter too many, too few or wrong, or two adjacent letters swapped.
//!
//! Words are indexed by their deletions (the word without one letter), so that a lookup is a few hashes for any size of
//! the vocabulary. Hangul is compared by letters (jamo), not by syllables.

use std::collections::HashMap;

use jangbogo_lexicon::hangul::spell_out;

/// Index of words by deletions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    words: Vec<(Box<str>, Box<[u32]>)>,
    /// Indices into `words` by the word and by each of its deletions.
    by_deletion: HashMap<Box<[u32]>, Vec<u32>>,
}

/// Least letters of a word of the index: shorter words are too similar to each other.
const MIN_LETTERS: usize = 6;
/// Least letters of a word that is corrected.
const MIN_TYPED_LETTERS: usize = 5;

impl Spelling {
    pub(crate) fn add(&mut self, word: &str) {
        let letters: Box<[u32]> = spell_out(word).into();
        let Ok(index) = u32::try_from(self.words.len()) else { return };
        if letters.len() < MIN_LETTERS
            || self.by_deletion.get(&letters).is_some_and(|all| all.iter().any(|&at| self.is_word(at, word)))
        {
            return;
        }
        for deletion in deletions(&letters) {
            self.by_deletion.entry(deletion).or_default().push(index);
        }
        self.by_deletion.entry(letters.clone()).or_default().push(index);
        self.words.push((word.into(), letters));
    }

    fn is_word(&self, index: u32, word: &str) -> bool {
        usize::try_from(index).ok().and_then(|index| self.words.get(index)).is_some_and(|(other, _)| **other == *word)
    }

    /// The nearest word of the index; none beyond one mistake. Words with the same first letter come first, then in
    /// order.
    pub(crate) fn correct(&self, word: &str) -> Option<&str> {
        let letters: Box<[u32]> = spell_out(word).into();
        if letters.len() < MIN_TYPED_LETTERS || letters.len() > 40 {
            return None;
        }
        let keys = deletions(&letters).chain([letters.clone()]);
        let indices = keys.filter_map(|deletion| self.by_deletion.get(&deletion)).flatten();
        let candidates = indices.filter_map(|&index| self.words.get(usize::try_from(index).ok()?));
        candidates
            .filter(|(_, candidate)| begins_alike(candidate, &letters) && within_one_mistake(candidate, &letters))
            .map(|(candidate, spelled)| (spelled.first() != letters.first(), &**candidate))
            .min()
            .map(|(_, candidate)| candidate)
    }
}

fn deletions(letters: &[u32]) -> impl Iterator<Item = Box<[u32]>> + '_ {
    (0..letters.len()).map(|at| letters[..at].iter().chain(&letters[at + 1..]).copied().collect())
}

/// True if the beginnings differ by a likely mistake only: mistakes in the first letter of a Latin word are rare.
fn begins_alike(candidate: &[u32], typed: &[u32]) -> bool {
    let letter = |letters: &[u32], at: usize| letters.get(at).copied().and_then(char::from_u32).unwrap_or_default();
    let (first, expected) = (letter(typed, 0), letter(candidate, 0));
    !first.is_ascii()
        || first == expected
        || first == letter(candidate, 1)
        || expected == letter(typed, 1)
        || matches!((first, expected), ('c', 'k' | 's') | ('k' | 's', 'c') | ('s', 'z') | ('z', 's'))
}

fn within_one_mistake(left: &[u32], right: &[u32]) -> bool {
    let same = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let (left, right) = (&left[same..], &right[same..]);
    match (left, right) {
        ([], []) => true,
        ([_, left @ ..], right) | (right, [_, left @ ..]) if left == right => true,
        ([a, b, left @ ..], [c, d, right @ ..]) if a == d && b == c => left == right,
        ([_, left @ ..], [_, right @ ..]) => left == right,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mistake_is_corrected_and_two_are_not() {
        let mut spelling = Spelling::default();
        for word in ["candle", "cushion", "도시락", "머그컵", "red", "linen"] {
            spelling.add(word);
        }
        for (typed, expected) in [
            ("candel", Some("candle")),
            ("cande", Some("candle")),
            ("cusion", Some("cushion")),
            ("cushhion", Some("cushion")),
            ("kandle", Some("candle")),
            ("candles", Some("candle")),
            ("도시락", Some("도시락")),
            ("도시락", Some("도시락")),
            ("모그컵", Some("머그컵")),
            ("andle", Some("candle")),
            ("handle", None),
            ("kandel", None),
            ("rad", None),
            ("lined", None),
            ("", None),
        ] {
            assert_eq!(spelling.correct(typed), expected, "{typed}");
        }
    }
}
