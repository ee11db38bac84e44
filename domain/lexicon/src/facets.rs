//! Facets of a product by its text.
//!
//! The longest known phrase at each word decides, so that a trap (`t-light`, `ice cream`, `gold fish`) hides the
//! meanings of its words. Negated values do not count (`NO RED`, `PLASTIC FREE`). A narrow value implies the wider
//! ones: a navy product is blue. Decisions about ambiguous words:
//!
//! - `rose` is a flower, not a colour; `rose gold` is gold.
//! - `tin` is a box and says nothing about the material.
//! - `glass` is a material, also of a wine glass; not in `magnifying glass` and the like.
//! - `silver` and `gold` are colours, `sterling silver` is a material as well; `copper` and `amber` may be both.
//! - `orange` is a colour unless something smells of it or presses it; `lavender`, `chocolate` and `cherry` are no
//!   colours.
//! - `cream` is a colour unless it is eaten or rubbed in.
//! - `iron` and `rubber` at a title's end are products (to press and to erase with), elsewhere materials.
//!
//! A description often names other products ("goes with our red mug"): it is read only for slots for which title and
//! attributes give no value.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::attributes::{self, slot_of_attribute};
use crate::values::{MEANINGS, Slot, with_implied};
use crate::words;

/// Bytes of a description that are read: its beginning describes the product.
const MAX_DESCRIPTION_BYTES: usize = 512;

/// Canonical values of a product by slot. Attribute values that the lexicon does not know are kept in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    pub color: BTreeSet<Cow<'static, str>>,
    pub material: BTreeSet<Cow<'static, str>>,
    pub pattern: BTreeSet<Cow<'static, str>>,
    pub style: BTreeSet<Cow<'static, str>>,
    pub size: BTreeSet<Cow<'static, str>>,
    pub occasion: BTreeSet<Cow<'static, str>>,
}

impl Facets {
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

    /// Pairs of a slot and one of its values.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &str)> {
        Slot::ALL.into_iter().flat_map(|slot| self.get(slot).iter().map(move |value| (slot, &**value)))
    }

    fn get_mut(&mut self, slot: Slot) -> &mut BTreeSet<Cow<'static, str>> {
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
            self.get_mut(slot).insert(Cow::Borrowed(name));
        }
    }
}

/// Facets of a product by its title, description and attributes (name and value).
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
                Err(other) => drop(facets.get_mut(slot).insert(Cow::Owned(other))),
            });
        }
    }
    if let Some(description) = description {
        let mut described = Facets::default();
        read(truncate(description), |slot, name| described.insert(slot, name));
        for slot in Slot::ALL {
            if facets.get(slot).is_empty() {
                facets.get_mut(slot).append(described.get_mut(slot));
            }
        }
    }
    facets
}

/// The first [`MAX_DESCRIPTION_BYTES`] of a text, to the last whole word.
fn truncate(text: &str) -> &str {
    if text.len() <= MAX_DESCRIPTION_BYTES {
        return text;
    }
    let end = text.floor_char_boundary(MAX_DESCRIPTION_BYTES);
    text[..end].rfind(' ').map_or(&text[..end], |space| &text[..space])
}

/// Calls `each` with every value that a text names without a negation.
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
