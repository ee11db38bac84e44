//! Analysis of a message: runs the passes and collects their results.

use jangbogo_events::{Intent, ProductId, Request, Retraction, Text, Understanding, Wish};

use crate::cue::Cue;
use crate::merge::{EVERYTHING, REFERENCE, next_request};
use crate::parse_state::{Context, ParseState};
use crate::slots::{
    context_mentions, corrections, indifference, negation, prices, product_kind, quantities, references, retraction,
    sentiment,
};
use crate::span::{Meaning, Role, Span, Term};
use crate::text::{language, segment};
use crate::vocabulary::Vocabulary;
use crate::{intent, text};

/// Understanding of a message, and the request after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    pub understanding: Understanding,
    pub request: Request,
}

/// Most wishes, and most retractions, of one event.
const MAX_WISHES: usize = 100;

#[must_use]
pub fn analyse(vocabulary: &Vocabulary, context: &Context, message: &str) -> Analysis {
    let text = text::normalise(message);
    let mut state = ParseState::new(context, segment::segment(vocabulary, &text));
    product_kind::disambiguate(&mut state);
    let off_topic = intent::discard_off_topic(&mut state);
    references::read(&mut state);
    retraction::read(&mut state);
    prices::read(&mut state);
    quantities::read(&mut state);
    indifference::read(&mut state);
    corrections::read(&mut state);
    negation::read(&mut state);
    context_mentions::read(&mut state);
    product_kind::resolve(&mut state);
    let understanding = understanding(&state, off_topic, &text);
    let request = next_request(&context.request, &understanding, &context.shown);
    Analysis { understanding, request }
}

fn understanding(state: &ParseState<'_>, off_topic: bool, text: &str) -> Understanding {
    let mut wishes = wishes(state);
    let mut references = products(state, Role::Open);
    let retracted = retracted(state);
    let is_new = |wish: &Wish| wish.wanted && !state.is_wished(&wish.slot, &wish.value);
    let features = intent::Features {
        off_topic,
        wishes: wishes.iter().any(|wish| &*wish.slot != REFERENCE),
        new_kind: wishes.iter().any(|wish| wish.names_kind() && is_new(wish)),
        kind: wishes.iter().any(Wish::names_kind),
        exclusions: wishes.iter().any(|wish| !wish.wanted),
        references: !references.is_empty() || !products(state, Role::Excluded).is_empty(),
        retractions: !retracted.is_empty(),
    };
    let intent = intent::classify(state, features);
    let about_products = !matches!(intent, Intent::SmallTalk | Intent::Other);
    match intent {
        Intent::SmallTalk | Intent::Other => wishes.clear(),
        Intent::AskAboutProduct => {
            // A question names qualities of a shown product: they are wishes only if it asks for another variant.
            if !asks_for_another(state) && !wishes.iter().any(|wish| !wish.wanted) {
                wishes.clear();
            }
            wishes.retain(|wish| !wish.names_kind());
            if references.is_empty() {
                references = state.context.shown.iter().take(10).map(|shown| shown.product_id.clone()).collect();
            }
        }
        _ => {}
    }
    // "Any pattern but skulls" is not indifference to the pattern.
    let has_no_exclusion = |slot: &&&str| !wishes.iter().any(|wish| &*wish.slot == **slot && !wish.wanted);
    let indifferent =
        state.indifferent.iter().filter(has_no_exclusion).filter_map(|slot| Text::new(*slot).ok()).take(20).collect();
    let is_order = intent == Intent::Other && !references.is_empty();
    Understanding {
        intent,
        wishes,
        price: state.price.filter(|_| about_products),
        price_direction: state.direction.filter(|_| about_products),
        quantity: state.quantity.filter(|_| about_products || is_order),
        retracted,
        indifferent,
        references,
        sentiment_permille: sentiment::permille(text),
        language: Text::new(language::detect(text)).unwrap_or_default(),
    }
}

/// True for a question about another variant: "does it come in blue?", 빨간색으로도 있어요?
fn asks_for_another(state: &ParseState<'_>) -> bool {
    let english = ["available in", "come", "have it", "have this", "have these", "got it", "got this", "got these"];
    let ask = |span: &Span| {
        if span.korean {
            span.is(Cue::Sell) || span.text.contains("있") || span.text == "재고"
        } else {
            span.is(Cue::Ask) && english.iter().any(|words| span.text.contains(words))
        }
    };
    state.spans.iter().any(ask)
}

/// "Too big" means the size `small`, but "nothing too big" excludes `large`.
fn resolve_size<'v>(span: &Span, slot: &str, value: &'v str, wanted: bool) -> &'v str {
    let too = span.text.starts_with("too ") || span.text.contains("bit ") || span.text.starts_with("너무");
    match value {
        "small" if slot == "size" && too && !wanted => "large",
        "large" if slot == "size" && too && !wanted => "small",
        _ => value,
    }
}

/// Wanted and excluded values in the order of the text; a value that is both is excluded.
fn wishes(state: &ParseState<'_>) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    let mut push = |slot: &str, value: &str, wanted: bool| {
        let (Ok(slot), Ok(value)) = (Text::new(slot), Text::new(value)) else { return };
        // An excluded value may be named again in the reason: "not pink, because pink is for babies".
        match wishes.iter_mut().find(|wish| wish.slot == slot && wish.value == value) {
            Some(earlier) => earlier.wanted &= wanted,
            None => wishes.push(Wish { slot, value, wanted }),
        }
    };
    for span in &state.spans {
        let wanted = match span.role {
            Role::Open => true,
            Role::Excluded => false,
            Role::Retracted | Role::Consumed => continue,
        };
        match &span.meaning {
            Meaning::Terms(terms) => {
                if let Some(Term { slot, value, .. }) = terms.first() {
                    push(slot, resolve_size(span, slot, value, wanted), wanted);
                }
            }
            Meaning::Products(products) if !wanted => products.iter().for_each(|id| push(REFERENCE, id, false)),
            _ => {}
        }
    }
    for size in &state.sizes {
        push("size", size, true);
    }
    wishes.truncate(MAX_WISHES);
    wishes
}

fn products(state: &ParseState<'_>, role: Role) -> Vec<ProductId> {
    let mut products: Vec<ProductId> = Vec::new();
    for span in state.spans.iter().filter(|span| span.role == role) {
        if let Meaning::Products(ids) = &span.meaning {
            for id in ids {
                if !products.contains(id) && products.len() < 200 {
                    products.push(id.clone());
                }
            }
        }
    }
    products
}

fn retracted(state: &ParseState<'_>) -> Vec<Retraction> {
    let terms = state.spans.iter().filter(|span| span.role == Role::Retracted).filter_map(Span::term);
    let named = terms.map(|term| (term.slot, term.value.to_string()));
    let all = state.reset.then(|| (EVERYTHING, EVERYTHING.to_owned()));
    let mut retracted: Vec<Retraction> = Vec::new();
    for (slot, value) in named.chain(state.retracted.iter().cloned()).chain(all) {
        if let (Ok(slot), Ok(value)) = (Text::new(slot), Text::new(value)) {
            let retraction = Retraction { slot, value };
            if !retracted.contains(&retraction) && retracted.len() < MAX_WISHES {
                retracted.push(retraction);
            }
        }
    }
    retracted
}

#[cfg(test)]
mod tests;
