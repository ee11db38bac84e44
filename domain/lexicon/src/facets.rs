//! What a product is, by its text.
//!
//! The longest known phrase at each word decides, so that a trap (`t-light`, `ice cream`, `gold fish`) hides what its
//! words would say. What is denied does not count (`NO RED`, `PLASTIC FREE`). A narrow value brings the wider ones: navy
//! things are blue things. Decisions about words that mean several things:
//!
//! - `rose` is a flower, not a colour; `rose gold` is gold.
//! - `tin` is a box and says nothing about the material.
//! - `glass` is a material, also of a wine glass; not in `magnifying glass` and the like.
//! - `silver` and `gold` are colours, `sterling silver` is a material as well; `copper` and `amber` may be both.
//! - `orange` is a colour unless something smells of it or presses it; `lavender`, `chocolate` and `cherry` are no colours.
//! - `cream` is a colour unless it is eaten or rubbed in.
//! - `iron` and `rubber` at a title's end are things (to press and to erase with), elsewhere materials.
//!
//! A description often speaks of other things than the product ("goes with our red mug"): it is asked only for slots of
//! which title and attributes say nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::values::{MEANINGS, Slot, with_implied};
use crate::{attributes, slot_of_attribute, words};

/// How much of a description is read, in bytes: what a thing is comes first.
const DESCRIPTION: usize = 512;

/// Canonical values of what a product is. Values that a catalogue's attribute gives and the lexicon does not know are
/// in lower case, as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Colours.
    pub color: BTreeSet<Cow<'static, str>>,
    /// Materials.
    pub material: BTreeSet<Cow<'static, str>>,
    /// Patterns.
    pub pattern: BTreeSet<Cow<'static, str>>,
    /// Styles.
    pub style: BTreeSet<Cow<'static, str>>,
    /// Sizes.
    pub size: BTreeSet<Cow<'static, str>>,
    /// Occasions.
    pub occasion: BTreeSet<Cow<'static, str>>,
}

impl Facets {
    /// The values of a slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> &BTreeSet<Cow<'static, str>> {
        match slot {
            Slot::Color => &self.color,
            Slot::Material => &self.material,
            Slot::Pattern => &self.pattern,
            Slot::Style => &self.style,
            Slot::Size => &self.size,
            Slot::Occasion => &self.occasion,
        }
    }

    /// Every slot that has a value, and the value.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &str)> {
        Slot::ALL.into_iter().flat_map(|slot| self.get(slot).iter().map(move |value| (slot, &**value)))
    }

    fn of_mut(&mut self, slot: Slot) -> &mut BTreeSet<Cow<'static, str>> {
        match slot {
            Slot::Color => &mut self.color,
            Slot::Material => &mut self.material,
            Slot::Pattern => &mut self.pattern,
            Slot::Style => &mut self.style,
            Slot::Size => &mut self.size,
            Slot::Occasion => &mut self.occasion,
        }
    }

    fn insert(&mut self, slot: Slot, name: &'static str) {
        for name in with_implied(slot, name) {
            self.of_mut(slot).insert(Cow::Borrowed(name));
        }
    }
}

/// What a product is by its title, description and attributes (name and value).
pub fn facets<'a>(
    title: &str,
    description: Option<&str>,
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Facets {
    let mut facets = Facets::default();
    read(title, |slot, name| facets.insert(slot, name));
    for (name, value) in attributes {
        if let Some(slot) = slot_of_attribute(name) {
            attributes::read(slot, value, &MEANINGS, |value| match value {
                Ok(name) => facets.insert(slot, name),
                Err(other) => drop(facets.of_mut(slot).insert(Cow::Owned(other))),
            });
        }
    }
    if let Some(description) = description {
        let mut told = Facets::default();
        read(beginning(description), |slot, name| told.insert(slot, name));
        for slot in Slot::ALL {
            if facets.get(slot).is_empty() {
                facets.of_mut(slot).append(told.of_mut(slot));
            }
        }
    }
    facets
}

/// The first bytes of a text, to the last whole word.
fn beginning(text: &str) -> &str {
    if text.len() <= DESCRIPTION {
        return text;
    }
    let end = text.floor_char_boundary(DESCRIPTION);
    text[..end].rfind(' ').map_or(&text[..end], |space| &text[..space])
}

/// Calls `each` with every value that a text names and does not deny.
fn read(text: &str, mut each: impl FnMut(Slot, &'static str)) {
    let mut words = Vec::with_capacity(16);
    words::split(text, |word| words.push(words::singular(word).into_owned()));
    words.push("endoftitle".to_owned());
    let mut at = 0;
    while at < words.len() {
        let Some((count, meanings)) = MEANINGS.longest(&words[at..]) else {
            at += 1;
            continue;
        };
        let before = at.checked_sub(1).map(|before| words[before].as_str());
        let after = words.get(at + count).map(String::as_str);
        if !matches!(before, Some("no" | "not" | "non" | "without")) && after != Some("free") {
            for (slot, name) in meanings {
                each(*slot, name);
            }
        }
        at += count;
    }
}

#[cfg(test)]
mod tests;
