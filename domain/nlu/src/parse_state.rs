//! A message being read: its pieces, and what was found in them so far.

use jangbogo_events::{Currency, PriceDirection, PriceRange, ProductId, Request};

use crate::cue::Cue;
use crate::span::{Meaning, Role, Span};

/// A product as it was shown.
#[derive(Clone, Debug)]
pub struct ShownProduct {
    pub product_id: ProductId,
    pub title: String,
    /// The slug of its category.
    pub category: Option<String>,
    /// The price of one unit.
    pub price: Option<jangbogo_events::Money>,
}

/// What a conversation is about so far.
#[derive(Clone, Debug)]
pub struct Context {
    /// What is looked for by now.
    pub request: Request,
    /// What was shown last, in that order.
    pub shown: Vec<ShownProduct>,
    /// What a price without a unit is in.
    pub default_currency: Currency,
}

impl Context {
    /// A conversation that begins.
    #[must_use]
    pub fn new(default_currency: Currency) -> Self {
        Self { request: Request::default(), shown: Vec::new(), default_currency }
    }

    /// Whether anything was said or shown before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.request.wishes.is_empty() && self.request.price.is_none()
    }
}

/// What is found by and by.
#[derive(Debug)]
pub struct ParseState<'c> {
    pub context: &'c Context,
    pub spans: Vec<Span>,
    /// Sizes in a measure: `30 cm`.
    pub sizes: Vec<String>,
    pub price: Option<PriceRange>,
    pub direction: Option<PriceDirection>,
    pub quantity: Option<u32>,
    /// What is taken back besides items: a slot and its value.
    pub retracted: Vec<(&'static str, String)>,
    /// Everything is taken back.
    pub reset: bool,
    pub indifferent: Vec<&'static str>,
    /// Whether a slot is among these because what was said of it is taken back.
    pub given_up: bool,
}

impl<'c> ParseState<'c> {
    pub fn new(context: &'c Context, spans: Vec<Span>) -> Self {
        Self {
            context,
            spans,
            sizes: Vec::new(),
            price: None,
            direction: None,
            quantity: None,
            retracted: Vec::new(),
            reset: false,
            indifferent: Vec::new(),
            given_up: false,
        }
    }

    /// Whether a cue stands anywhere, unless it is used up.
    pub fn has(&self, cue: Cue) -> bool {
        self.spans.iter().any(|span| span.role != Role::Used && span.is(cue))
    }

    /// Whether the text asks something.
    pub fn asks(&self) -> bool {
        self.spans.iter().any(|span| span.text == "?")
    }

    /// Whether a thing is named that still counts.
    pub fn names_a_thing(&self) -> bool {
        self.spans.iter().any(Span::is_thing)
    }

    /// Where the clause that holds an item begins and ends.
    pub fn clause(&self, at: usize) -> (usize, usize) {
        let start = self.spans[..at].iter().rposition(Span::ends_a_clause).map_or(0, |end| end + 1);
        let end = self.spans[at..].iter().position(Span::ends_a_clause).map_or(self.spans.len(), |end| at + end);
        (start, end.max(at))
    }

    /// Uses up a run of items.
    pub fn use_up(&mut self, start: usize, end: usize) {
        for span in &mut self.spans[start..end] {
            span.role = Role::Used;
        }
    }

    /// Whether this slot, or any slot for none, was wished for before.
    pub fn wished(&self, slot: &str, value: &str) -> bool {
        self.context.request.wishes.iter().any(|wish| &*wish.slot == slot && &*wish.value == value)
    }

    /// The number an item says, in hundredths.
    pub fn number(&self, at: usize) -> Option<u64> {
        let span = self.spans.get(at).filter(|span| span.role != Role::Used)?;
        match span.meaning {
            Meaning::Number(number) => Some(number),
            _ => span.cue(|cue| match cue {
                Cue::Number(number) => Some(u64::from(number) * 100),
                Cue::Times(12) if !span.korean => Some(1_200),
                _ => None,
            }),
        }
    }
}
