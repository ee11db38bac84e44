//! Korean words and what they name or say, to be found in running text.

use std::collections::HashMap;

use jangbogo_lexicon::hangul::is_hangul;

use crate::cue::{self, Cue};
use crate::span::Term;

/// What a Korean form is.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What it names.
    pub terms: Vec<Term>,
    /// What it says.
    pub cues: Vec<Cue>,
    /// What it says as a particle or an ending; none when it is neither.
    pub ending: Option<Vec<Cue>>,
    /// Before which of its characters a space belongs, a bit each.
    pub gaps: u32,
}

/// Forms without their spaces.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    entries: HashMap<Box<str>, Entry>,
    /// The longest form that begins with a character, in characters.
    longest: HashMap<char, usize>,
}

impl Dictionary {
    /// Adds what a form names; forms without Hangul are left to English.
    pub fn add(&mut self, form: &str, term: Term) {
        if let Some(entry) = self.entry(form)
            && !entry.terms.iter().any(|known| known.slot == term.slot)
        {
            entry.terms.push(term);
        }
    }

    /// Lets a form name this kind of thing instead of another.
    pub fn replace(&mut self, form: &str, term: &Term) {
        if let Some(entry) = self.entry(form) {
            entry.terms.retain(|known| !known.is_thing());
            entry.terms.push(term.clone());
        }
    }

    /// Adds the tables of cues and endings.
    pub fn add_cues(&mut self) {
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

    pub fn get(&self, form: &str) -> Option<&Entry> {
        self.entries.get(form)
    }

    /// The longest form that begins with a character, in characters; 0 when none does.
    pub fn longest(&self, first: char) -> usize {
        self.longest.get(&first).copied().unwrap_or_default()
    }

    /// Forms that name something.
    pub fn contents(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| !entry.terms.is_empty()).map(|(form, _)| &**form)
    }
}
