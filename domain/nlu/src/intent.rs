//! Classification of a message by intent.

use jangbogo_events::Intent;

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Consumes off-topic clauses: prompt injection, abuse, customer service. Returns whether there was one.
pub(crate) fn discard_off_topic(state: &mut ParseState<'_>) -> bool {
    let mut is_off_topic = false;
    let mut start = 0;
    while start < state.spans.len() {
        let (_, end) = state.clause(start);
        // "Our teapot got smashed, we need another" asks for a product.
        let asks_for_product = state.spans[start..end].iter().any(|span| span.is(Cue::Find));
        let off_topic = |span: &Span| {
            let mishap = matches!(span.text.as_str(), "broken" | "smashed" | "damaged");
            span.is_any(&[Cue::Injection, Cue::Abuse, Cue::Service]) && !(mishap && asks_for_product)
        };
        if state.spans[start..end].iter().any(off_topic) || sets_price_to_zero(&state.spans[start..end]) {
            state.consume(start, end);
            is_off_topic = true;
        }
        start = end + 1;
    }
    is_off_topic
}

/// True for "make it 0 pounds".
fn sets_price_to_zero(spans: &[Span]) -> bool {
    let currency = |span: &Span| span.has_cue(|cue| matches!(cue, Cue::Currency(_)));
    spans.windows(2).any(|pair| {
        pair[0].meaning == Meaning::Number(0) && currency(&pair[1])
            || currency(&pair[0]) && pair[1].meaning == Meaning::Number(0)
    })
}

/// Features of a message that its intent depends on.
#[expect(clippy::struct_excessive_bools, reason = "the features are independent")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// An off-topic clause was discarded.
    pub off_topic: bool,
    /// A value or a product kind is wanted or excluded.
    pub wishes: bool,
    /// A product kind is wanted that no former message of the conversation asked for.
    pub new_kind: bool,
    /// A product kind is wanted or excluded.
    pub kind: bool,
    pub exclusions: bool,
    /// Shown products are referred to or excluded.
    pub references: bool,
    pub retractions: bool,
}

pub(crate) fn classify(state: &ParseState<'_>, features: Features) -> Intent {
    let has = |cue| state.has(cue);
    let asks_for_product = has(Cue::Find) || has(Cue::Sell);
    let limits =
        state.price.is_some() || state.direction.is_some() || state.quantity.is_some() || !state.indifferent.is_empty();
    if features.off_topic && !(features.kind && asks_for_product) {
        return Intent::Other;
    }
    let taste = has(Cue::Like) || has(Cue::HateBefore) || has(Cue::HateAfter) || has(Cue::Habit);
    let chat = has(Cue::Thanks) || has(Cue::Greet) || has(Cue::Chat);
    let has_no_request =
        !features.kind && !features.references && !features.exclusions && !limits && !features.retractions && !taste;
    let continues = has(Cue::More) && !state.context.is_empty();
    if chat && has_no_request && !asks_for_product && !continues && (state.context.is_empty() || !features.wishes) {
        return Intent::SmallTalk;
    }
    if state.reset || state.forgets_slot && !features.wishes {
        return Intent::RetractPreference;
    }
    // "Three of the second" is an order.
    let counts_references = state.quantity.is_some() && !has(Cue::Ask) && !has(Cue::Same);
    if (has(Cue::Buy) || counts_references) && features.references && !features.wishes {
        return Intent::Other;
    }
    if about_a_product(state, features) {
        return Intent::AskAboutProduct;
    }
    if !features.wishes && !limits && !features.references {
        return match () {
            () if features.retractions => Intent::RetractPreference,
            () if !state.context.is_empty() && (has(Cue::More) || asks_for_product) => Intent::RefineSearch,
            () if asks_for_product && !chat => Intent::FindProduct,
            () if chat => Intent::SmallTalk,
            () if state.context.is_empty() => Intent::Other,
            // A question without a wish is about the products shown.
            () if state.is_question() && !state.context.shown.is_empty() => Intent::AskAboutProduct,
            () => Intent::RefineSearch,
        };
    }
    let states_taste =
        taste && state.indifferent.is_empty() && !asks_for_product && !introduces_kind(state) && !state.is_question();
    if states_taste && (state.context.is_empty() || has(Cue::Habit)) {
        return Intent::StatePreference;
    }
    if features.new_kind {
        return Intent::FindProduct;
    }
    if !state.context.is_empty() {
        return Intent::RefineSearch;
    }
    let only_limits = !features.wishes
        && !asks_for_product
        && !features.references
        && state.price.is_none()
        && state.quantity.is_none();
    if only_limits
        || !features.kind && features.exclusions && !asks_for_product && !limits && !begins_with_something(state)
    {
        return Intent::StatePreference;
    }
    Intent::FindProduct
}

/// True for "anything ceramic, but no flowers", which asks for a product.
fn begins_with_something(state: &ParseState<'_>) -> bool {
    state.spans.first().is_some_and(|first| matches!(first.text.as_str(), "anything" | "something"))
}

/// True for a question about a product that was shown, rather than for others.
fn about_a_product(state: &ParseState<'_>, features: Features) -> bool {
    if state.context.shown.is_empty() || state.direction.is_some() || has_changes(state) {
        return false;
    }
    let begins = state.spans.iter().find(|span| !span.is_filler()).is_some_and(|first| first.is(Cue::Question));
    let asks = state.is_question() || state.has(Cue::Ask) || begins;
    if features.references {
        let others = state.has(Cue::Same) || state.has(Cue::More) && !state.has(Cue::Ask);
        let excluded =
            state.spans.iter().any(|span| matches!(span.meaning, Meaning::Products(_)) && span.role == Role::Excluded);
        return asks && !others && !excluded && (!state.has(Cue::Find) || state.has(Cue::Ask));
    }
    state.has(Cue::Ask) && !features.new_kind && !state.has(Cue::Find) && !features.exclusions && state.price.is_none()
}

/// True if the message retracts a value or is indifferent to one, which no question about a product does.
fn has_changes(state: &ParseState<'_>) -> bool {
    !state.retracted.is_empty() || !state.indifferent.is_empty() || state.reset
}

/// True for "X인데 …": the message asks for the product kind X, even if it states a taste as well.
fn introduces_kind(state: &ParseState<'_>) -> bool {
    let follows = |pair: &[Span]| {
        pair[0].names_kind()
            && pair[1].korean
            && (pair[1].text.starts_with('인') || matches!(pair[1].text.as_str(), "요" | "이요"))
    };
    state.spans.windows(2).any(follows)
}
