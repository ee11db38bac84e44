//! Values of the slots that describe a product, with their names in English and Korean.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::phrases::Phrases;
use crate::table::{alternatives, rows};
use crate::words;

/// An attribute of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// `red`, `navy`.
    Color,
    /// `wood`, `zinc`.
    Material,
    /// Printed or woven: `polka dot`, `floral`.
    Pattern,
    /// `vintage`, `scandinavian`.
    Style,
    /// `small`, `jumbo`.
    Size,
    /// Occasion or season of use: `birthday`, `christmas`, `summer`.
    Occasion,
}

impl Slot {
    pub const ALL: [Self; 6] = [Self::Color, Self::Material, Self::Pattern, Self::Style, Self::Size, Self::Occasion];

    /// Name of the slot in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Color => "color",
            Self::Material => "material",
            Self::Pattern => "pattern",
            Self::Style => "style",
            Self::Size => "size",
            Self::Occasion => "occasion",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }
}

/// A value of a slot: `polka dot`.
#[derive(Clone, Debug)]
pub struct Value {
    pub slot: Slot,
    /// Its canonical name: English, lower case, singular.
    pub name: &'static str,
    /// The wider value that it is a kind of: `navy` is `blue`, `zinc` is `metal`.
    pub implies: Option<&'static str>,
    /// English synonyms. A `-` among them says that the name itself, as a word in a text, does not mean the value:
    /// `silver` alone is the colour.
    pub english: Vec<&'static str>,
    pub korean: Vec<&'static str>,
}

static VALUES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let value = |row: Vec<&'static str>| {
        Some(Value {
            slot: Slot::from_name(row.first()?)?,
            name: row.get(1)?,
            implies: row.get(2).copied().filter(|name| !name.is_empty()),
            english: alternatives(&row, 3),
            korean: alternatives(&row, 4),
        })
    };
    rows(include_str!("../data/values.tsv")).filter_map(value).collect()
});

/// Indices into `VALUES` by slot and name.
static BY_NAME: LazyLock<HashMap<(Slot, &'static str), usize>> =
    LazyLock::new(|| VALUES.iter().enumerate().map(|(index, value)| ((value.slot, value.name), index)).collect());

/// Indices into `VALUES` by Korean words without spaces.
static BY_KOREAN: LazyLock<HashMap<String, Vec<usize>>> = LazyLock::new(|| {
    let mut by_korean = HashMap::<String, Vec<usize>>::new();
    for (index, value) in VALUES.iter().enumerate() {
        for form in &value.korean {
            by_korean.entry(form.replace(' ', "")).or_default().push(index);
        }
    }
    by_korean
});

/// Values that English phrases name. A trap names fewer values than its words do, or other ones.
pub(crate) static MEANINGS: LazyLock<Phrases<Vec<(Slot, &'static str)>>> = LazyLock::new(|| {
    let mut phrases = Phrases::<Vec<(Slot, &'static str)>>::default();
    for value in values() {
        for form in surface_forms(value) {
            if let Some(meanings) = phrases.entry(form) {
                meanings.push((value.slot, value.name));
            }
        }
    }
    for (phrase, meaning) in traps() {
        if let Some(meanings) = phrases.entry(phrase) {
            meanings.clear();
            meanings.extend(meaning);
        }
    }
    phrases
});

/// English words that mean a value.
pub fn surface_forms(value: &'static Value) -> impl Iterator<Item = &'static str> {
    let name = (!value.english.contains(&"-")).then_some(value.name);
    name.into_iter().chain(value.english.iter().copied().filter(|form| *form != "-"))
}

#[must_use]
pub fn values() -> &'static [Value] {
    &VALUES
}

/// English phrases that do not have the meaning of their words, with the value that they name instead: a `t light` is
/// not light, `ice cream` is no colour. The word `endoftitle` stands for the end of the text.
fn traps() -> impl Iterator<Item = (&'static str, Option<(Slot, &'static str)>)> {
    rows(include_str!("../data/traps.tsv")).filter_map(|row| {
        let meaning = row.get(1).and_then(|meaning| meaning.split_once('='));
        Some((*row.first()?, meaning.and_then(|(slot, value)| Some((Slot::from_name(slot)?, value)))))
    })
}

#[must_use]
pub fn value(slot: Slot, name: &str) -> Option<&'static Value> {
    BY_NAME.get(&(slot, name)).map(|&index| &VALUES[index])
}

/// A value and the wider ones that it implies, the narrowest first: `stainless steel`, `steel`, `metal`.
pub fn with_implied(slot: Slot, name: &str) -> impl Iterator<Item = &'static str> {
    let wider = move |value: &&'static Value| self::value(slot, value.implies?);
    // No chain in the table is longer; a cycle in it must not hang a fold.
    std::iter::successors(value(slot, name), wider).take(4).map(|value| value.name)
}

/// Canonical name of a value by any of its names, in English or Korean: `Colourful`, `빨간색`.
#[must_use]
pub fn canonical(slot: Slot, text: &str) -> Option<&'static str> {
    let key = words::key(text);
    if let Some((_, name)) = MEANINGS.get(&key).and_then(|all| all.iter().find(|(other, _)| *other == slot)) {
        return Some(name);
    }
    let korean = text.replace(' ', "");
    let by_korean = |form: &str| {
        BY_KOREAN
            .get(form)?
            .iter()
            .map(|&index| &VALUES[index])
            .find(|value| value.slot == slot)
            .map(|value| value.name)
    };
    by_korean(&korean).or_else(|| by_korean(korean.strip_suffix('색')?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_a_value_and_its_implied_value_exists() {
        let lines = rows(include_str!("../data/values.tsv")).count();
        assert_eq!(values().len(), lines, "a row was not understood");
        let known: BTreeSet<_> = values().iter().map(|value| (value.slot, value.name)).collect();
        assert_eq!(known.len(), lines, "a value stands in two rows");
        for value in values() {
            assert!(value.implies.is_none_or(|wider| known.contains(&(value.slot, wider))), "{value:?}");
            let hidden = surface_forms(value).next().is_some_and(|form| canonical(value.slot, form).is_none());
            assert!(!hidden, "{value:?} is hidden by another");
        }
    }

    #[test]
    fn no_word_names_two_values_of_one_slot() {
        let mut seen = BTreeSet::new();
        for value in values() {
            let forms: BTreeSet<_> = surface_forms(value).map(words::key).collect();
            let korean = value.korean.iter().map(|form| form.replace(' ', ""));
            for form in forms.into_iter().chain(korean.collect::<BTreeSet<_>>()) {
                assert!(
                    seen.insert((value.slot, form.clone())),
                    "{:?}: {form} is {} and another",
                    value.slot,
                    value.name
                );
            }
        }
    }

    #[test]
    fn traps_name_values() {
        for (phrase, meaning) in traps() {
            assert!(meaning.is_none_or(|(slot, name)| value(slot, name).is_some()), "{phrase}");
        }
        assert!(traps().any(|(_, meaning)| meaning.is_some()));
    }

    #[test]
    fn values_are_known_in_both_languages_and_imply_wider_ones() {
        assert_eq!(canonical(Slot::Color, "Multi-Coloured"), Some("multicolour"));
        assert_eq!(canonical(Slot::Color, "빨간색"), Some("red"));
        assert_eq!(canonical(Slot::Pattern, "물방울 무늬"), Some("polka dot"));
        assert_eq!(canonical(Slot::Material, "red"), None);
        let wider: Vec<_> = with_implied(Slot::Material, "stainless steel").collect();
        assert_eq!(wider, ["stainless steel", "steel", "metal"]);
        assert_eq!(with_implied(Slot::Color, "no such colour").count(), 0);
    }
}
