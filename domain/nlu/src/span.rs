//! Spans: runs of a message's text with a meaning, and their role in the result.

use std::sync::Arc;

use jangbogo_events::{ProductId, is_kind};

use crate::cue::Cue;

/// A value that a phrase may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// As in [`jangbogo_events::Wish`].
    pub slot: &'static str,
    /// As in [`jangbogo_events::Wish`].
    pub value: Arc<str>,
    /// True for weak evidence: the phrase often has another meaning and counts only without a better name.
    pub weak: bool,
}

impl Term {
    pub(crate) fn new(slot: &'static str, value: &str) -> Self {
        Self { slot, value: value.into(), weak: false }
    }

    /// True for a product kind (or category), false for a quality.
    pub(crate) fn names_kind(&self) -> bool {
        is_kind(self.slot)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A name with its possible values; the first one counts.
    Terms(Vec<Term>),
    /// A modifier of names.
    Cues(Vec<Cue>),
    /// In hundredths.
    Number(u64),
    /// An out-of-vocabulary English word, which may be a product kind.
    Word,
    /// Any other out-of-vocabulary text.
    Other,
    /// `,` `:` `/` and the like.
    Comma,
    /// The end of a sentence.
    Stop,
    /// A reference to shown products.
    Products(Vec<ProductId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Undecided: a name is a wish.
    Open,
    /// Excluded by the shopper ("not red").
    Excluded,
    /// Retracted by the shopper.
    Retracted,
    /// A part of another span's meaning, or irrelevant.
    Consumed,
}

#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// Part of the normalised text.
    pub text: String,
    pub meaning: Meaning,
    pub role: Role,
    /// True after a space.
    pub spaced: bool,
    pub korean: bool,
}

impl Span {
    pub(crate) fn new(text: impl Into<String>, meaning: Meaning, spaced: bool, korean: bool) -> Self {
        Self { text: text.into(), meaning, role: Role::Open, spaced, korean }
    }

    pub(crate) fn is(&self, cue: Cue) -> bool {
        self.has_cue(|other| other == cue)
    }

    pub(crate) fn is_any(&self, cues: &[Cue]) -> bool {
        self.has_cue(|cue| cues.contains(&cue))
    }

    pub(crate) fn has_cue(&self, predicate: impl Fn(Cue) -> bool) -> bool {
        matches!(&self.meaning, Meaning::Cues(cues) if cues.iter().any(|cue| predicate(*cue)))
    }

    /// The first value that `extract` returns for one of the cues.
    pub(crate) fn cue<T>(&self, extract: impl Fn(Cue) -> Option<T>) -> Option<T> {
        match &self.meaning {
            Meaning::Cues(cues) => cues.iter().find_map(|cue| extract(*cue)),
            _ => None,
        }
    }

    /// The named value; none if the span is consumed.
    pub(crate) fn term(&self) -> Option<&Term> {
        match &self.meaning {
            Meaning::Terms(terms) if self.role != Role::Consumed => terms.first(),
            _ => None,
        }
    }

    pub(crate) fn names_kind(&self) -> bool {
        self.term().is_some_and(Term::names_kind)
    }

    /// True for a value, a product kind or a reference to products, unless consumed.
    pub(crate) fn is_name(&self) -> bool {
        self.term().is_some() || matches!(self.meaning, Meaning::Products(_)) && self.role != Role::Consumed
    }

    pub(crate) fn ends_a_clause(&self) -> bool {
        self.meaning == Meaning::Stop || self.is(Cue::Clause)
    }

    /// True for a span that may stand between a cue and the name it modifies.
    pub(crate) fn is_filler(&self) -> bool {
        self.is_any(&[Cue::Filler, Cue::One, Cue::Topic, Cue::Object, Cue::NotOnly]) || self.role == Role::Consumed
    }
}
