//! Product kinds and areas of a shop, in English and Korean.

use std::sync::LazyLock;

use crate::table::{alternatives, rows};
use crate::words;

/// A product kind: `lunch bag`.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Canonical name as in an English title: lower case, singular, shortest form.
    pub name: &'static str,
    /// English synonyms, which titles use as well.
    pub english: Vec<&'static str>,
    /// Other spellings of the name, which titles do not use.
    pub spellings: Vec<&'static str>,
    pub korean: Vec<&'static str>,
}

impl Kind {
    /// Name, synonyms and spellings, the name first.
    pub fn forms(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.english.iter().copied()).chain(self.spellings.iter().copied())
    }
}

/// An area of a shop, which a category may be named after: `kitchen`, 주방, 부엌.
#[derive(Clone, Debug)]
pub struct Area {
    /// The word in a category's slug.
    pub name: &'static str,
    pub english: Vec<&'static str>,
    /// Korean names without 용품 or 제품 ("supplies", "goods").
    pub korean: Vec<&'static str>,
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let bare = |form: &str| words::key(form).replace(' ', "");
    let kind = |row: Vec<&'static str>| {
        let name: &'static str = row.first()?;
        // A form is another spelling if only spaces differ, or if the table marks it with `=`.
        let is_spelling = |form: &&&'static str| form.starts_with('=') || bare(form) == bare(name);
        let forms = alternatives(&row, 1);
        let spellings = forms.iter().filter(is_spelling).map(|form| form.trim_start_matches('=')).collect();
        let english = forms.iter().filter(|form| !is_spelling(form)).copied().collect();
        Some(Kind { name, english, spellings, korean: alternatives(&row, 2) })
    };
    rows(include_str!("../data/kinds.tsv")).filter_map(kind).collect()
});

static AREAS: LazyLock<Vec<Area>> = LazyLock::new(|| {
    let area = |row: Vec<&'static str>| {
        Some(Area { name: row.first()?, english: alternatives(&row, 1), korean: alternatives(&row, 2) })
    };
    rows(include_str!("../data/areas.tsv")).filter_map(area).collect()
});

#[must_use]
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

#[must_use]
pub fn areas() -> &'static [Area] {
    &AREAS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_word_names_two_kinds() {
        let mut seen = BTreeMap::new();
        for kind in kinds() {
            let english = kind.forms().map(words::key);
            let korean = kind.korean.iter().map(|form| form.replace(' ', ""));
            for form in english.chain(korean) {
                let other = seen.insert(form.clone(), kind.name);
                assert!(other.is_none_or(|other| other == kind.name), "{form} is {} and {other:?}", kind.name);
            }
        }
        assert!(kinds().len() > 300);
    }

    #[test]
    fn kinds_and_areas_have_korean_words() {
        let korean = |name: &str| kinds().iter().find(|kind| kind.name == name).map(|kind| kind.korean.clone());
        assert!(korean("lunch bag").unwrap().contains(&"도시락 가방"));
        assert!(areas().iter().all(|area| !area.korean.is_empty()));
    }
}
