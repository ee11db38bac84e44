//! Dictionary of Korean forms: names, cues and endings.

use std::collections::HashMap;

use jangbogo_lexicon::hangul::is_hangul;

use crate::cue::{self, Cue};
use crate::span::Term;

#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub terms: Vec<Term>,
    pub cues: Vec<Cue>,
    /// Cues of the form as a particle or an ending; none if it is neither.
    pub ending: Option<Vec<Cue>>,
    /// Bit set of the characters with a space before them.
    pub gaps: u32,
}

/// Entries by form without spaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dictionary {
    entries: HashMap<Box<str>, Entry>,
    /// Length in characters of the longest form, by its first character.
    longest: HashMap<char, usize>,
}

impl Dictionary {
    /// Adds a name; forms with other characters than Hangul are ignored.
    pub(crate) fn add(&mut self, form: &str, term: Term) {
        if let Some(entry) = self.entry(form)
            && !entry.terms.iter().any(|other| other.slot == term.slot)
        {
            entry.terms.push(term);
        }
    }

    /// Replaces the product kind that a form names.
    pub(crate) fn replace(&mut self, form: &str, term: &Term) {
        if let Some(entry) = self.entry(form) {
            entry.terms.retain(|other| !other.names_kind());
            entry.terms.push(term.clone());
        }
    }

    /// Adds the tables of cues and endings.
    pub(crate) fn add_cues(&mut self) {
        for (form, cues) in cue::KOREAN.iter() {
            if let Some(entry) = self.entry(form) {
                entry.cues.clone_from(cues);
            }
        }
        for (form, cues) in cue::ENDINGS.iter() {
            if let Some(entry) = self.entry(form) {
                entry.ending = Some(cues.clone());
            }
        }
    }

    fn entry(&mut self, form: &str) -> Option<&mut Entry> {
        let (mut bare, mut gaps) = (String::new(), 0_u32);
        let mut length = 0;
        for character in form.chars() {
            if character == ' ' {
                gaps |= 1_u32.checked_shl(length)?;
            } else {
                bare.push(character);
                length += 1;
            }
        }
        if !bare.chars().all(is_hangul) {
            return None;
        }
        let first = bare.chars().next()?;
        let longest = self.longest.entry(first).or_default();
        *longest = (*longest).max(usize::try_from(length).ok()?);
        let entry = self.entries.entry(bare.into()).or_default();
        entry.gaps |= gaps;
        Some(entry)
    }

    pub(crate) fn get(&self, form: &str) -> Option<&Entry> {
        self.entries.get(form)
    }

    /// Length in characters of the longest form that begins with a character; 0 without one.
    pub(crate) fn longest(&self, first: char) -> usize {
        self.longest.get(&first).copied().unwrap_or_default()
    }

    /// Forms that are names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| !entry.terms.is_empty()).map(|(form, _)| &**form)
    }
}
