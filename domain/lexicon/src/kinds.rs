//! Kinds of things that shops sell, and the parts of a shop, in English and Korean.

use std::sync::LazyLock;

use crate::table::{alternatives, rows};
use crate::words;

/// A kind of thing: `lunch bag`.
#[derive(Clone, Debug)]
pub struct Kind {
    /// As an English title would write it: lower case, singular, as short as can be.
    pub name: &'static str,
    /// Other English words for it, which titles use as well.
    pub english: Vec<&'static str>,
    /// Other ways to write its name; titles use the name.
    pub spellings: Vec<&'static str>,
    /// Korean words for it.
    pub korean: Vec<&'static str>,
}

impl Kind {
    /// Every English word for it, the name first.
    pub fn forms(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.english.iter().copied()).chain(self.spellings.iter().copied())
    }
}

/// What a category of a shop may be called: `kitchen` for 주방, 부엌.
#[derive(Clone, Debug)]
pub struct Area {
    /// The word a category's slug would have.
    pub name: &'static str,
    /// Other English words for it.
    pub english: Vec<&'static str>,
    /// Korean words for it, without 용품 or 제품.
    pub korean: Vec<&'static str>,
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let bare = |form: &str| words::key(form).replace(' ', "");
    let kind = |row: Vec<&'static str>| {
        let name: &'static str = row.first()?;
        // A form is another spelling where only spaces differ, or where the table says so with a `=`.
        let spelled = |form: &&&'static str| form.starts_with('=') || bare(form) == bare(name);
        let forms = alternatives(&row, 1);
        let spellings = forms.iter().filter(spelled).map(|form| form.trim_start_matches('=')).collect();
        let english = forms.iter().filter(|form| !spelled(form)).copied().collect();
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

/// Every kind of thing.
#[must_use]
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// Every part of a shop.
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
