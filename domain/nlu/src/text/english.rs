//! Segmentation of English words: the longest phrase at each word; a cue takes precedence over a name of the same
//! length.

use jangbogo_lexicon::{numbers, singular};

use crate::cue::{self, Cue};
use crate::span::{Meaning, Span};
use crate::text::tokens::Token;
use crate::vocabulary::Vocabulary;

/// Appends the spans of a run of words, spelling corrected.
pub(crate) fn segment(vocabulary: &Vocabulary, run: &[Token<'_>], spans: &mut Vec<Span>) {
    let words: Vec<String> = run.iter().map(|token| normalise(vocabulary, token.text)).collect();
    let mut at = 0;
    while at < words.len() {
        let (length, meaning) = longest_phrase(vocabulary, &words[at..]);
        let text: Vec<&str> = run[at..at + length].iter().map(|token| token.text).collect();
        spans.push(Span::new(text.join(" "), meaning, run[at].spaced, false));
        at += length;
    }
}

/// A word as in the keys of phrases: without apostrophes, in the singular, spelling corrected.
fn normalise(vocabulary: &Vocabulary, text: &str) -> String {
    let bare = text.replace('\'', "");
    let stem = text.strip_suffix("'s").filter(|_| !cue::FILLERS.contains(bare.as_str()));
    if let Some(stem) = stem.filter(|_| !vocabulary.english_words.contains(bare.as_str())) {
        return singular(stem).into_owned();
    }
    let word = singular(&bare);
    if vocabulary.english_words.contains(&*word) || vocabulary.english_words.contains(&bare) {
        return word.into_owned();
    }
    let correction = vocabulary.spelling.correct(&word).filter(|correction| !have_one_stem(&word, correction));
    correction.map_or_else(|| word.clone().into_owned(), str::to_owned)
}

/// True for forms of one verb, which are not misspellings: "organise" and "organiser", "heated" and "heater".
fn have_one_stem(word: &str, other: &str) -> bool {
    let stem = |word: &str| word.strip_suffix(['r', 'd']).unwrap_or(word).to_owned();
    stem(word).ends_with('e') && stem(word) == stem(other)
}

fn longest_phrase(vocabulary: &Vocabulary, words: &[String]) -> (usize, Meaning) {
    let cue = cue::ENGLISH.longest(words);
    let term = vocabulary.english.longest(words).filter(|(_, terms)| !terms.is_empty());
    match (cue, term) {
        (Some((cue_length, cues)), Some((length, _))) if cue_length >= length => {
            (cue_length, Meaning::Cues(cues.clone()))
        }
        (_, Some((length, terms))) => (length, Meaning::Terms(terms.clone())),
        (Some((length, cues)), None) => (length, Meaning::Cues(cues.clone())),
        (None, None) => (1, unknown(&words[0])),
    }
}

fn unknown(word: &str) -> Meaning {
    if let Some(number) = numbers::english(word) {
        return Meaning::Number(u64::from(number) * 100);
    }
    if cue::FILLERS.contains(word) || word.chars().count() < 2 {
        return Meaning::Cues(vec![Cue::Filler]);
    }
    Meaning::Word
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh};

    #[test]
    fn misspellings_are_corrected_but_other_words_are_not() {
        check(
            &fresh(),
            &[
                ("a lantren", "product=lantern"),
                ("a spanner", "product=spanner"),
                ("a lamp to organise my evenings", "product=lamp"),
                ("a heated blanket", "product=blanket"),
            ],
        );
    }
}
