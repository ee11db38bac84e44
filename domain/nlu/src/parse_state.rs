//! Parse state of a message: its spans, and the results of the passes so far.

use jangbogo_events::{Currency, PriceDirection, PriceRange, ProductId, Request};

use crate::cue::Cue;
use crate::span::{Meaning, Role, Span};

#[derive(Clone, Debug)]
pub struct ShownProduct {
    pub product_id: ProductId,
    pub title: String,
    /// Slug of the category.
    pub category: Option<String>,
    /// Price of one unit.
    pub price: Option<jangbogo_events::Money>,
}

/// Context of a message: the conversation before it.
#[derive(Clone, Debug)]
pub struct Context {
    pub request: Request,
    /// The products shown last, in the order of the list.
    pub shown: Vec<ShownProduct>,
    /// Currency of prices without a unit.
    pub default_currency: Currency,
}

impl Context {
    /// Context of the first message of a conversation.
    #[must_use]
    pub fn new(default_currency: Currency) -> Self {
        Self { request: Request::default(), shown: Vec::new(), default_currency }
    }

    /// True if the conversation has no wish, price limit or shown product.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.request.wishes.is_empty() && self.request.price.is_none()
    }
}

#[derive(Debug)]
pub(crate) struct ParseState<'c> {
    pub context: &'c Context,
    pub spans: Vec<Span>,
    /// Sizes in a measure: `30 cm`.
    pub sizes: Vec<String>,
    pub price: Option<PriceRange>,
    pub direction: Option<PriceDirection>,
    pub quantity: Option<u32>,
    /// Retractions besides spans: slot and value.
    pub retracted: Vec<(&'static str, String)>,
    /// True if the message retracts everything.
    pub reset: bool,
    pub indifferent: Vec<&'static str>,
    /// True if the message retracts a whole slot, which is then in `indifferent`.
    pub forgets_slot: bool,
}

impl<'c> ParseState<'c> {
    pub(crate) fn new(context: &'c Context, spans: Vec<Span>) -> Self {
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
            forgets_slot: false,
        }
    }

    /// True if any span that is not consumed is this cue.
    pub(crate) fn has(&self, cue: Cue) -> bool {
        self.spans.iter().any(|span| span.role != Role::Consumed && span.is(cue))
    }

    /// True if the text has a question mark.
    pub(crate) fn is_question(&self) -> bool {
        self.spans.iter().any(|span| span.text == "?")
    }

    pub(crate) fn names_kind(&self) -> bool {
        self.spans.iter().any(Span::names_kind)
    }

    /// Start and end (exclusive) of the clause around a span.
    pub(crate) fn clause(&self, at: usize) -> (usize, usize) {
        let start = self.spans[..at].iter().rposition(Span::ends_a_clause).map_or(0, |end| end + 1);
        let end = self.spans[at..].iter().position(Span::ends_a_clause).map_or(self.spans.len(), |end| at + end);
        (start, end.max(at))
    }

    pub(crate) fn consume(&mut self, start: usize, end: usize) {
        for span in &mut self.spans[start..end] {
            span.role = Role::Consumed;
        }
    }

    /// Consumes the spans of a range that name values.
    pub(crate) fn consume_names(&mut self, start: usize, end: usize) {
        for span in self.spans[start..end].iter_mut().filter(|span| span.term().is_some()) {
            span.role = Role::Consumed;
        }
    }

    pub(crate) fn add_indifferent(&mut self, slot: &'static str) {
        if !self.indifferent.contains(&slot) {
            self.indifferent.push(slot);
        }
    }

    /// True if the request before the message has a wish for or against this value.
    pub(crate) fn is_wished(&self, slot: &str, value: &str) -> bool {
        self.context.request.wishes.iter().any(|wish| &*wish.slot == slot && &*wish.value == value)
    }

    /// Value of a span that is a number, in hundredths.
    pub(crate) fn number(&self, at: usize) -> Option<u64> {
        let span = self.spans.get(at).filter(|span| span.role != Role::Consumed)?;
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
