//! The pieces of a message that mean something, and what becomes of them.

use std::sync::Arc;

use jangbogo_events::ProductId;

use crate::cue::Cue;

/// A value that a phrase may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The slot, as in [`jangbogo_events::Wish`].
    pub slot: &'static str,
    /// The value, as in [`jangbogo_events::Wish`].
    pub value: Arc<str>,
    /// Whether the phrase also often means nothing of the sort: it counts only where nothing better was said.
    pub weak: bool,
}

impl Term {
    pub fn new(slot: &'static str, value: &str) -> Self {
        Self { slot, value: value.into(), weak: false }
    }

    /// Whether it names the kind of thing rather than a quality.
    pub fn is_thing(&self) -> bool {
        matches!(self.slot, "product" | "category")
    }
}

/// What a piece means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Names values; the first is what it is taken for.
    Terms(Vec<Term>),
    /// Says how something is meant.
    Cues(Vec<Cue>),
    /// A number, in hundredths.
    Number(u64),
    /// An English word that is not known: perhaps a thing.
    Word,
    /// Anything else that is not known.
    Other,
    /// `,` `:` `/` and the like.
    Comma,
    /// The end of a sentence.
    Stop,
    /// Products that were shown.
    Products(Vec<ProductId>),
}

/// What becomes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing was decided: a term is wanted.
    Open,
    /// Excluded by the shopper ("not red").
    Excluded,
    /// It is taken back.
    Retracted,
    /// It is a part of something else, or says nothing.
    Used,
}

/// A piece of a message.
#[derive(Clone, Debug)]
pub struct Span {
    /// As it stands in the normalised text.
    pub text: String,
    pub meaning: Meaning,
    pub role: Role,
    /// Whether there was a space before it.
    pub spaced: bool,
    /// Whether it is Korean.
    pub korean: bool,
}

impl Span {
    pub fn new(text: impl Into<String>, meaning: Meaning, spaced: bool, korean: bool) -> Self {
        Self { text: text.into(), meaning, role: Role::Open, spaced, korean }
    }

    /// Whether it is this cue.
    pub fn is(&self, cue: Cue) -> bool {
        matches!(&self.meaning, Meaning::Cues(cues) if cues.contains(&cue))
    }

    /// Whether it is one of these cues.
    pub fn is_any(&self, cues: &[Cue]) -> bool {
        cues.iter().any(|cue| self.is(*cue))
    }

    /// What a cue of it says, if one says anything.
    pub fn cue<T>(&self, told: impl Fn(Cue) -> Option<T>) -> Option<T> {
        match &self.meaning {
            Meaning::Cues(cues) => cues.iter().find_map(|cue| told(*cue)),
            _ => None,
        }
    }

    /// What it names, unless it is used up.
    pub fn term(&self) -> Option<&Term> {
        match &self.meaning {
            Meaning::Terms(terms) if self.role != Role::Used => terms.first(),
            _ => None,
        }
    }

    /// Whether it names a kind of thing.
    pub fn is_thing(&self) -> bool {
        self.term().is_some_and(Term::is_thing)
    }

    /// Whether it names something of any sort, or products.
    pub fn is_named(&self) -> bool {
        self.term().is_some() || matches!(self.meaning, Meaning::Products(_)) && self.role != Role::Used
    }

    /// Whether a clause or sentence ends here.
    pub fn ends_a_clause(&self) -> bool {
        self.meaning == Meaning::Stop || self.is(Cue::Clause)
    }

    /// Whether it can stand between a cue and what it is about.
    pub fn is_filler(&self) -> bool {
        self.is_any(&[Cue::Filler, Cue::One, Cue::Topic, Cue::Object, Cue::NotOnly]) || self.role == Role::Used
    }
}
