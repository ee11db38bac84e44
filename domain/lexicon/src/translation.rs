//! Translation of Korean shopping words into English, for searches of an English catalogue in both languages, and of
//! canonical values into Korean, for answers.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::hangul::{PARTICLES, is_hangul};
use crate::{Slot, areas, kinds, value, values};

/// Most words of one name.
const NAME_WORDS: usize = 4;

/// English names by Korean names without spaces. A product kind takes precedence over a value, a value over an area.
static ENGLISH: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let kinds = kinds().iter().map(|kind| (&kind.korean, kind.name));
    let values = values().iter().map(|value| (&value.korean, value.name));
    let areas = areas().iter().map(|area| (&area.korean, area.name));
    let mut english = HashMap::new();
    for (forms, name) in kinds.chain(values).chain(areas) {
        for form in forms {
            english.entry(form.replace(' ', "")).or_insert(name);
        }
    }
    english
});

/// English translation of the names (product kinds, values, areas) in a Korean text, with its words in other scripts.
/// Other Korean words are left out: they would blur the meaning of the rest. None if the text has no known name.
///
/// Names are found word by word, the longest first, in words that consist of names only (`빨간색 도시락가방`), and before a
/// particle. Endings and sentences are not understood.
#[must_use]
pub fn in_english(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().flat_map(parts).collect();
    let mut english: Vec<&str> = Vec::new();
    let mut is_translated = false;
    let mut at = 0;
    while at < words.len() {
        let most = NAME_WORDS.min(words.len() - at);
        let name = |count: usize| Some((count, noun(&words[at..at + count].concat())?));
        if let Some((count, names)) = (1..=most).rev().find_map(name) {
            english.extend(names);
            is_translated = true;
            at += count;
        } else {
            english.extend(Some(words[at]).filter(|word| !word.chars().any(is_hangul)));
            at += 1;
        }
    }
    is_translated.then(|| english.join(" "))
}

/// A word; a Korean word is divided at punctuation: `행주(티타월)`.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let is_korean = word.chars().any(is_hangul);
    let divides = move |character: char| is_korean && !character.is_alphanumeric();
    word.split(divides).filter(|part| !part.is_empty())
}

/// The names that a Korean word consists of, with or without a particle, which a name of one syllable cannot have.
fn noun(word: &str) -> Option<Vec<&'static str>> {
    let before = |particle: &&str| word.strip_suffix(particle).filter(|noun| noun.chars().count() > 1);
    names(word).or_else(|| PARTICLES.iter().filter_map(before).find_map(names))
}

/// Korean name of a value of a slot, `product` or `category`; none if the lexicon has no Korean word for it.
#[must_use]
pub fn in_korean(slot: &str, name: &str) -> Option<&'static str> {
    let forms = match slot {
        "product" => &kinds().iter().find(|kind| kind.name == name)?.korean,
        "category" => &areas().iter().find(|area| area.name == name)?.korean,
        slot => &value(Slot::from_name(slot)?, name)?.korean,
    };
    forms.first().copied()
}

/// The names that a Korean word consists of, the longest at each position; none if anything else is in it.
fn names(word: &str) -> Option<Vec<&'static str>> {
    if !word.chars().all(is_hangul) {
        return None;
    }
    let mut english = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, character)| at + character.len_utf8());
        let (end, name) = ends.rev().find_map(|end| Some((end, name(&rest[..end])?)))?;
        english.push(name);
        rest = &rest[end..];
    }
    Some(english)
}

/// English name of a Korean one; a colour may end in 색.
fn name(form: &str) -> Option<&'static str> {
    ENGLISH.get(form).or_else(|| ENGLISH.get(form.strip_suffix('색')?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_into_english_however_they_are_spaced() {
        for (korean, english) in [
            ("빨간 도시락 가방", "red lunch bag"),
            ("빨간색 도시락가방", "red lunch bag"),
            ("빨간도시락가방", "red lunch bag"),
            ("생일 카드", "birthday card"),
            ("RETROSPOT 도시락 가방", "RETROSPOT lunch bag"),
            ("도시락가방을 생일카드로", "lunch bag birthday card"),
            ("도시락(가방)", "lunch bag"),
        ] {
            assert_eq!(in_english(korean).as_deref(), Some(english), "{korean}");
        }
    }

    #[test]
    fn values_are_translated_into_korean() {
        for (slot, name, korean) in [
            ("product", "lunch bag", Some("도시락 가방")),
            ("category", "kitchen", Some("주방")),
            ("color", "red", Some("빨강")),
            ("color", "lunch bag", None),
            ("brand", "acme", None),
        ] {
            assert_eq!(in_korean(slot, name), korean, "{slot} {name}");
        }
    }

    #[test]
    fn unknown_words_are_left_out() {
        assert_eq!(in_english("빨간 뚜비두 T-LIGHT 뚜비두"), Some("red T-LIGHT".to_owned()));
        for text in ["red lunch bag", "뚜비두", "가방뚜비두", "85123A", ""] {
            assert_eq!(in_english(text), None, "{text}");
        }
    }
}
