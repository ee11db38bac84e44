//! Words with a typing mistake: one letter too many, too few, another, or two changed about.
//!
//! Every word is known by what is left of it without one letter, so that a lookup is a few hashes whatever the size of
//! the vocabulary. Hangul is compared letter by letter, not syllable by syllable.

use std::collections::HashMap;

use jangbogo_lexicon::hangul::spell_out;

/// Words by what they look like with a mistake.
#[derive(Clone, Debug, Default)]
pub struct Spelling {
    words: Vec<(Box<str>, Box<[u32]>)>,
    /// By the word and by each way to leave one letter out.
    near: HashMap<Box<[u32]>, Vec<u32>>,
}

/// Shorter words are too alike to be corrected, in letters: words that are known, and words as typed.
const SHORTEST: usize = 6;
const SHORTEST_TYPED: usize = 5;

impl Spelling {
    pub fn add(&mut self, word: &str) {
        let letters: Box<[u32]> = spell_out(word).into();
        let Ok(index) = u32::try_from(self.words.len()) else { return };
        if letters.len() < SHORTEST
            || self.near.get(&letters).is_some_and(|all| all.iter().any(|&at| self.is(at, word)))
        {
            return;
        }
        for shorter in without_one(&letters) {
            self.near.entry(shorter).or_default().push(index);
        }
        self.near.entry(letters.clone()).or_default().push(index);
        self.words.push((word.into(), letters));
    }

    fn is(&self, index: u32, word: &str) -> bool {
        usize::try_from(index).ok().and_then(|index| self.words.get(index)).is_some_and(|(known, _)| **known == *word)
    }

    /// The word that was meant; none when none is near. Of several, one that begins alike, then the first in order.
    pub fn correct(&self, word: &str) -> Option<&str> {
        let letters: Box<[u32]> = spell_out(word).into();
        if letters.len() < SHORTEST_TYPED || letters.len() > 40 {
            return None;
        }
        let tries = without_one(&letters).chain([letters.clone()]);
        let found = tries.filter_map(|shorter| self.near.get(&shorter)).flatten();
        let candidates = found.filter_map(|&index| self.words.get(usize::try_from(index).ok()?));
        candidates
            .filter(|(_, known)| begins_alike(known, &letters) && within_one(known, &letters))
            .map(|(known, spelled)| (spelled.first() != letters.first(), &**known))
            .min()
            .map(|(_, known)| known)
    }
}

fn without_one(letters: &[u32]) -> impl Iterator<Item = Box<[u32]>> + '_ {
    (0..letters.len()).map(|at| letters[..at].iter().chain(&letters[at + 1..]).copied().collect())
}

/// Whether a mistake is likely where a Latin word begins: few are made there, so that another letter is another word.
fn begins_alike(known: &[u32], typed: &[u32]) -> bool {
    let letter = |letters: &[u32], at: usize| letters.get(at).copied().and_then(char::from_u32).unwrap_or_default();
    let (first, meant) = (letter(typed, 0), letter(known, 0));
    !first.is_ascii()
        || first == meant
        || first == letter(known, 1)
        || meant == letter(typed, 1)
        || matches!((first, meant), ('c', 'k' | 's') | ('k' | 's', 'c') | ('s', 'z') | ('z', 's'))
}

/// Whether one mistake makes one of the other.
fn within_one(left: &[u32], right: &[u32]) -> bool {
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
    fn one_mistake_is_forgiven_and_two_are_not() {
        let mut spelling = Spelling::default();
        for word in ["candle", "cushion", "도시락", "머그컵", "red", "linen"] {
            spelling.add(word);
        }
        for (typed, meant) in [
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
            assert_eq!(spelling.correct(typed), meant, "{typed}");
        }
    }
}
