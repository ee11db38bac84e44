//! A dictionary of phrases of several words with a lookup of the longest match.

use std::collections::HashMap;

use crate::words;

/// Meanings of phrases by [`key`](words::key), so that case, punctuation and plurals do not matter.
#[derive(Clone, Debug)]
pub struct Phrases<T> {
    meanings: HashMap<Box<str>, T>,
    /// Length in words of the longest phrase, by its first word.
    longest: HashMap<Box<str>, usize>,
}

impl<T> Default for Phrases<T> {
    fn default() -> Self {
        Self { meanings: HashMap::new(), longest: HashMap::new() }
    }
}

impl<T> Phrases<T> {
    /// The meaning of a phrase, inserted if absent; none for a phrase without a word.
    pub fn entry(&mut self, phrase: &str) -> Option<&mut T>
    where
        T: Default,
    {
        let key = words::key(phrase);
        let mut parts = key.split(' ');
        let first = parts.next().filter(|first| !first.is_empty())?;
        let longest = self.longest.entry(first.into()).or_default();
        *longest = (*longest).max(1 + parts.count());
        Some(self.meanings.entry(key.into()).or_default())
    }

    /// The meaning of a phrase by its key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&T> {
        self.meanings.get(key)
    }

    /// Length in words and meaning of the longest phrase that `words` (in the singular) begin with.
    #[must_use]
    pub fn longest<S: AsRef<str>>(&self, words: &[S]) -> Option<(usize, &T)> {
        let first = words.first()?.as_ref();
        let longest = (*self.longest.get(first)?).min(words.len());
        if longest == 1 {
            return self.meanings.get(first).map(|meaning| (1, meaning));
        }
        let mut key = String::with_capacity(64);
        let mut ends = [0_usize; 8];
        let longest = longest.min(ends.len());
        for (word, end) in words[..longest].iter().zip(&mut ends) {
            if !key.is_empty() {
                key.push(' ');
            }
            key.push_str(word.as_ref());
            *end = key.len();
        }
        (1..=longest).rev().find_map(|count| self.meanings.get(&key[..ends[count - 1]]).map(|meaning| (count, meaning)))
    }

    /// Keys and meanings of all phrases, unordered.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.meanings.iter().map(|(key, meaning)| (&**key, meaning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_phrase_wins() {
        let mut phrases = Phrases::<u8>::default();
        for (phrase, number) in [("Lunch", 1), ("lunch bag", 2), ("lunch bag of tin", 3)] {
            *phrases.entry(phrase).unwrap() = number;
        }
        assert_eq!(phrases.longest(&["lunch", "bag", "red"]), Some((2, &2)));
        assert_eq!(phrases.longest(&["lunch", "bag", "of", "tin"]), Some((4, &3)));
        assert_eq!(phrases.longest(&["lunch"]), Some((1, &1)));
        assert_eq!(phrases.longest(&["bag"]), None);
        assert_eq!(phrases.longest::<&str>(&[]), None);
        assert_eq!(phrases.entry(" ! "), None);
    }
}
