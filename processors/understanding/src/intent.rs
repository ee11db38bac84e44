//! What a message is for.

use events::Intent;

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role};
use crate::reading::Reading;

/// Uses up the clauses that are not about products: orders for the assistant, abuse, questions to the shop itself.
pub(crate) fn set_aside(reading: &mut Reading<'_>) -> bool {
    let mut any = false;
    let mut start = 0;
    while start < reading.items.len() {
        let (_, end) = reading.clause(start);
        // "Our teapot got smashed, we need another" asks.
        let asked = reading.items[start..end].iter().any(|item| item.is(Cue::Find));
        let aside = |item: &Item| {
            let mishap = matches!(item.text.as_str(), "broken" | "smashed" | "damaged");
            item.is_any(&[Cue::Injection, Cue::Abuse, Cue::Service]) && !(mishap && asked)
        };
        if reading.items[start..end].iter().any(aside) || gives_away(&reading.items[start..end]) {
            reading.use_up(start, end);
            any = true;
        }
        start = end + 1;
    }
    any
}

/// "Make it 0 pounds."
fn gives_away(items: &[Item]) -> bool {
    let currency = |item: &Item| item.cue(|cue| matches!(cue, Cue::Currency(_)).then_some(())).is_some();
    items.windows(2).any(|pair| {
        pair[0].meaning == Meaning::Number(0) && currency(&pair[1])
            || currency(&pair[0]) && pair[1].meaning == Meaning::Number(0)
    })
}

/// What was found, as far as the intent depends on it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
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
pub(crate) fn of(reading: &Reading<'_>, found: Found) -> Intent {
    let has = |cue| reading.has(cue);
    let asked_for = has(Cue::Find) || has(Cue::Sell);
    let limits = reading.price.is_some()
        || reading.direction.is_some()
        || reading.quantity.is_some()
        || !reading.indifferent.is_empty();
    if found.aside && !(found.thing && asked_for) {
        return Intent::Other;
    }
    let taste = has(Cue::Like) || has(Cue::HateBefore) || has(Cue::HateAfter) || has(Cue::Habit);
    let chat = has(Cue::Thanks) || has(Cue::Greet) || has(Cue::Chat);
    let idle = !found.thing && !found.references && !found.unwanted && !limits && !found.retracted && !taste;
    let goes_on = has(Cue::More) && !reading.context.is_empty();
    if chat && idle && !asked_for && !goes_on && (reading.context.is_empty() || !found.wishes) {
        return Intent::SmallTalk;
    }
    if reading.reset || reading.given_up && !found.wishes {
        return Intent::RetractPreference;
    }
    // "Three of the second."
    let counts_them = reading.quantity.is_some() && !has(Cue::Ask) && !has(Cue::Same);
    if (has(Cue::Buy) || counts_them) && found.references && !found.wishes {
        return Intent::Other;
    }
    if about_a_product(reading, found) {
        return Intent::AskAboutProduct;
    }
    if !found.wishes && !limits && !found.references {
        return match () {
            () if found.retracted => Intent::RetractPreference,
            () if !reading.context.is_empty() && (has(Cue::More) || asked_for) => Intent::RefineSearch,
            () if asked_for && !chat => Intent::FindProduct,
            () if chat => Intent::SmallTalk,
            () if reading.context.is_empty() => Intent::Other,
            // Nothing is asked for: a question is about what was shown.
            () if reading.asks() && !reading.context.shown.is_empty() => Intent::AskAboutProduct,
            () => Intent::RefineSearch,
        };
    }
    let states =
        taste && reading.indifferent.is_empty() && !asked_for && !introduces_a_thing(reading) && !reading.asks();
    if states && (reading.context.is_empty() || has(Cue::Habit)) {
        return Intent::StatePreference;
    }
    if found.new_thing {
        return Intent::FindProduct;
    }
    if !reading.context.is_empty() {
        return Intent::RefineSearch;
    }
    let only_limits =
        !found.wishes && !asked_for && !found.references && reading.price.is_none() && reading.quantity.is_none();
    if only_limits || !found.thing && found.unwanted && !asked_for && !limits && !begins_with_something(reading) {
        return Intent::StatePreference;
    }
    Intent::FindProduct
}

/// "Anything ceramic, but no flowers" asks.
fn begins_with_something(reading: &Reading<'_>) -> bool {
    reading.items.first().is_some_and(|first| matches!(first.text.as_str(), "anything" | "something"))
}

/// Whether it asks about a product that was shown, rather than for others.
fn about_a_product(reading: &Reading<'_>, found: Found) -> bool {
    if reading.context.shown.is_empty() || reading.direction.is_some() || has_changes(reading) {
        return false;
    }
    let begins = reading.items.iter().find(|item| !item.is_filler()).is_some_and(|first| first.is(Cue::Question));
    let asks = reading.asks() || reading.has(Cue::Ask) || begins;
    if found.references {
        let others = reading.has(Cue::Same) || reading.has(Cue::More) && !reading.has(Cue::Ask);
        let refused = reading
            .items
            .iter()
            .any(|item| matches!(item.meaning, Meaning::Products(_)) && item.role == Role::Unwanted);
        return asks && !others && !refused && (!reading.has(Cue::Find) || reading.has(Cue::Ask));
    }
    reading.has(Cue::Ask) && !found.new_thing && !reading.has(Cue::Find) && !found.unwanted && reading.price.is_none()
}

/// Whether something is taken back or given up, which no question does.
fn has_changes(reading: &Reading<'_>) -> bool {
    !reading.retracted.is_empty() || !reading.indifferent.is_empty() || reading.reset
}

/// "X인데 …": a thing that a message begins with is asked for, whatever is liked besides.
fn introduces_a_thing(reading: &Reading<'_>) -> bool {
    let follows = |pair: &[Item]| {
        pair[0].is_thing()
            && pair[1].korean
            && (pair[1].text.starts_with('인') || matches!(pair[1].text.as_str(), "요" | "이요"))
    };
    reading.items.windows(2).any(follows)
}
