//! What a message is for.

use jangbogo_events::Intent;

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::{Meaning, Role, Span};

/// Uses up the clauses that are not about products: orders for the assistant, abuse, questions to the shop itself.
pub fn set_aside(state: &mut ParseState<'_>) -> bool {
    let mut any = false;
    let mut start = 0;
    while start < state.spans.len() {
        let (_, end) = state.clause(start);
        // "Our teapot got smashed, we need another" asks.
        let asked = state.spans[start..end].iter().any(|span| span.is(Cue::Find));
        let aside = |span: &Span| {
            let mishap = matches!(span.text.as_str(), "broken" | "smashed" | "damaged");
            span.is_any(&[Cue::Injection, Cue::Abuse, Cue::Service]) && !(mishap && asked)
        };
        if state.spans[start..end].iter().any(aside) || gives_away(&state.spans[start..end]) {
            state.use_up(start, end);
            any = true;
        }
        start = end + 1;
    }
    any
}

/// "Make it 0 pounds."
fn gives_away(spans: &[Span]) -> bool {
    let currency = |span: &Span| span.cue(|cue| matches!(cue, Cue::Currency(_)).then_some(())).is_some();
    spans.windows(2).any(|pair| {
        pair[0].meaning == Meaning::Number(0) && currency(&pair[1])
            || currency(&pair[0]) && pair[1].meaning == Meaning::Number(0)
    })
}

/// What was found, as far as the intent depends on it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Something was set aside.
    pub aside: bool,
    /// A value or a thing is wanted or unwanted.
    pub wishes: bool,
    /// A thing is wanted that was not before.
    pub new_thing: bool,
    /// A thing is wanted or unwanted.
    pub thing: bool,
    /// Something is unwanted.
    pub unwanted: bool,
    /// Products shown are spoken of.
    pub references: bool,
    /// Something is taken back.
    pub retracted: bool,
}

/// What the message is for.
pub fn classify(state: &ParseState<'_>, found: Found) -> Intent {
    let has = |cue| state.has(cue);
    let asked_for = has(Cue::Find) || has(Cue::Sell);
    let limits =
        state.price.is_some() || state.direction.is_some() || state.quantity.is_some() || !state.indifferent.is_empty();
    if found.aside && !(found.thing && asked_for) {
        return Intent::Other;
    }
    let taste = has(Cue::Like) || has(Cue::HateBefore) || has(Cue::HateAfter) || has(Cue::Habit);
    let chat = has(Cue::Thanks) || has(Cue::Greet) || has(Cue::Chat);
    let idle = !found.thing && !found.references && !found.unwanted && !limits && !found.retracted && !taste;
    let goes_on = has(Cue::More) && !state.context.is_empty();
    if chat && idle && !asked_for && !goes_on && (state.context.is_empty() || !found.wishes) {
        return Intent::SmallTalk;
    }
    if state.reset || state.given_up && !found.wishes {
        return Intent::RetractPreference;
    }
    // "Three of the second."
    let counts_them = state.quantity.is_some() && !has(Cue::Ask) && !has(Cue::Same);
    if (has(Cue::Buy) || counts_them) && found.references && !found.wishes {
        return Intent::Other;
    }
    if about_a_product(state, found) {
        return Intent::AskAboutProduct;
    }
    if !found.wishes && !limits && !found.references {
        return match () {
            () if found.retracted => Intent::RetractPreference,
            () if !state.context.is_empty() && (has(Cue::More) || asked_for) => Intent::RefineSearch,
            () if asked_for && !chat => Intent::FindProduct,
            () if chat => Intent::SmallTalk,
            () if state.context.is_empty() => Intent::Other,
            // Nothing is asked for: a question is about what was shown.
            () if state.asks() && !state.context.shown.is_empty() => Intent::AskAboutProduct,
            () => Intent::RefineSearch,
        };
    }
    let states = taste && state.indifferent.is_empty() && !asked_for && !introduces_a_thing(state) && !state.asks();
    if states && (state.context.is_empty() || has(Cue::Habit)) {
        return Intent::StatePreference;
    }
    if found.new_thing {
        return Intent::FindProduct;
    }
    if !state.context.is_empty() {
        return Intent::RefineSearch;
    }
    let only_limits =
        !found.wishes && !asked_for && !found.references && state.price.is_none() && state.quantity.is_none();
    if only_limits || !found.thing && found.unwanted && !asked_for && !limits && !begins_with_something(state) {
        return Intent::StatePreference;
    }
    Intent::FindProduct
}

/// "Anything ceramic, but no flowers" asks.
fn begins_with_something(state: &ParseState<'_>) -> bool {
    state.spans.first().is_some_and(|first| matches!(first.text.as_str(), "anything" | "something"))
}

/// Whether it asks about a product that was shown, rather than for others.
fn about_a_product(state: &ParseState<'_>, found: Found) -> bool {
    if state.context.shown.is_empty() || state.direction.is_some() || has_changes(state) {
        return false;
    }
    let begins = state.spans.iter().find(|span| !span.is_filler()).is_some_and(|first| first.is(Cue::Question));
    let asks = state.asks() || state.has(Cue::Ask) || begins;
    if found.references {
        let others = state.has(Cue::Same) || state.has(Cue::More) && !state.has(Cue::Ask);
        let refused =
            state.spans.iter().any(|span| matches!(span.meaning, Meaning::Products(_)) && span.role == Role::Excluded);
        return asks && !others && !refused && (!state.has(Cue::Find) || state.has(Cue::Ask));
    }
    state.has(Cue::Ask) && !found.new_thing && !state.has(Cue::Find) && !found.unwanted && state.price.is_none()
}

/// Whether something is taken back or given up, which no question does.
fn has_changes(state: &ParseState<'_>) -> bool {
    !state.retracted.is_empty() || !state.indifferent.is_empty() || state.reset
}

/// "X인데 …": a thing that a message begins with is asked for, whatever is liked besides.
fn introduces_a_thing(state: &ParseState<'_>) -> bool {
    let follows = |pair: &[Span]| {
        pair[0].is_thing()
            && pair[1].korean
            && (pair[1].text.starts_with('인') || matches!(pair[1].text.as_str(), "요" | "이요"))
    };
    state.spans.windows(2).any(follows)
}
