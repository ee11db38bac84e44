//! Korean shopping words put into English, for catalogues in English, which are searched in both languages; and canonical
//! values put into Korean, for answers.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::hangul::{PARTICLES, is_hangul};
use crate::{Slot, areas, kinds, value, values};

/// The most words of a text that are one name.
const NAME_WORDS: usize = 4;

/// English names by Korean ones, without spaces; a kind of thing before what it may be like.
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

/// What of a Korean text is known in English: its names of things and of what they are like, and what is no Korean. The
/// rest is left out, and would only blur the meaning of what is known; none if no name is.
///
/// Names are found word by word, the longest first, in words that are made of nothing but names (`빨간색 도시락가방`), and
/// before a particle. Endings and sentences are not understood.
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

/// A word, or what of a Korean one stands between signs: `행주(티타월)`.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let is_korean = word.chars().any(is_hangul);
    let divides = move |character: char| is_korean && !character.is_alphanumeric();
    word.split(divides).filter(|part| !part.is_empty())
}

/// The names that a Korean word is made of, be it with a particle, which a name of one syllable is not told from.
fn noun(word: &str) -> Option<Vec<&'static str>> {
    let before = |particle: &&str| word.strip_suffix(particle).filter(|noun| noun.chars().count() > 1);
    names(word).or_else(|| PARTICLES.iter().filter_map(before).find_map(names))
}

/// A value of a slot, or of `product` or `category`, in Korean; none where no Korean word for it is known.
#[must_use]
pub fn in_korean(slot: &str, name: &str) -> Option<&'static str> {
    let forms = match slot {
        "product" => &kinds().iter().find(|kind| kind.name == name)?.korean,
        "category" => &areas().iter().find(|area| area.name == name)?.korean,
        slot => &value(Slot::from_name(slot)?, name)?.korean,
    };
    forms.first().copied()
}

/// The names that a Korean word is made of, the longest at each place; none if there is anything else in it.
fn names(word: &str) -> Option<Vec<&'static str>> {
    if !word.chars().all(is_hangul) {
        return None;
    }
    let mut found = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, character)| at + character.len_utf8());
        let (end, name) = ends.rev().find_map(|end| Some((end, name(&rest[..end])?)))?;
        found.push(name);
        rest = &rest[end..];
    }
    Some(found)
}

/// A name, be it a colour's with 색 behind it.
fn name(form: &str) -> Option<&'static str> {
    ENGLISH.get(form).or_else(|| ENGLISH.get(form.strip_suffix('색')?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_into_english_however_they_are_spaced() {
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
    fn values_are_put_into_korean() {
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
    fn what_is_not_known_is_left_out() {
        assert_eq!(in_english("빨간 뚜비두 T-LIGHT 뚜비두"), Some("red T-LIGHT".to_owned()));
        for text in ["red lunch bag", "뚜비두", "가방뚜비두", "85123A", ""] {
            assert_eq!(in_english(text), None, "{text}");
        }
    }
}
