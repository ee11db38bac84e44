//! From a message to what it says.

use events::{Intent, ProductId, Request, Retraction, Text, Understanding, Wish};

use crate::cue::Cue;
use crate::item::{Item, Meaning, Role, Term};
use crate::merge::{EVERYTHING, REFERENCE, next_request};
use crate::reading::{Context, Reading};
use crate::vocabulary::Vocabulary;
use crate::{
    aside, belongings, indifference, intent, language, negation, prices, quantities, references, retraction, segment,
    sentiment,
};
use crate::{text, things};

/// What a message says, and what is looked for after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// What the message says.
    pub understanding: Understanding,
    /// What is looked for after it.
    pub request: Request,
}

/// What a list of an event may hold.
const WISHES: usize = 100;

/// Analyses a message.
#[must_use]
pub fn analyse(vocabulary: &Vocabulary, context: &Context, message: &str) -> Analysis {
    let text = text::normalise(message);
    let mut reading = Reading::new(context, segment::segment(vocabulary, &text));
    things::choose(&mut reading);
    let set_aside = intent::set_aside(&mut reading);
    references::read(&mut reading);
    retraction::read(&mut reading);
    prices::read(&mut reading);
    quantities::read(&mut reading);
    indifference::read(&mut reading);
    aside::read(&mut reading);
    negation::read(&mut reading);
    belongings::read(&mut reading);
    things::settle(&mut reading);
    let understanding = understanding(&reading, set_aside, &text);
    let request = next_request(&context.request, &understanding, &context.shown);
    Analysis { understanding, request }
}

fn understanding(reading: &Reading<'_>, set_aside: bool, text: &str) -> Understanding {
    let mut wishes = wishes(reading);
    let mut references = products(reading, Role::Open);
    let retracted = retracted(reading);
    let wanted = |wish: &&Wish| wish.wanted && matches!(&*wish.slot, "product" | "category");
    let found = intent::Found {
        aside: set_aside,
        wishes: wishes.iter().any(|wish| &*wish.slot != REFERENCE),
        new_thing: wishes.iter().filter(wanted).any(|wish| !reading.wished(&wish.slot, &wish.value)),
        thing: wishes.iter().any(|wish| matches!(&*wish.slot, "product" | "category")),
        unwanted: wishes.iter().any(|wish| !wish.wanted),
        references: !references.is_empty() || !products(reading, Role::Unwanted).is_empty(),
        retracted: !retracted.is_empty(),
    };
    let intent = intent::of(reading, found);
    let about_products = !matches!(intent, Intent::SmallTalk | Intent::Other);
    match intent {
        Intent::SmallTalk | Intent::Other => wishes.clear(),
        Intent::AskAboutProduct => {
            // A question names what the product may be; only another of its kind is wished for.
            if !asks_for_another(reading) && !wishes.iter().any(|wish| !wish.wanted) {
                wishes.clear();
            }
            wishes.retain(|wish| !matches!(&*wish.slot, "product" | "category"));
            if references.is_empty() {
                references = reading.context.shown.iter().take(10).map(|shown| shown.product_id.clone()).collect();
            }
        }
        _ => {}
    }
    // "Any pattern but skulls" is no indifference.
    let open = |slot: &&&str| !wishes.iter().any(|wish| &*wish.slot == **slot && !wish.wanted);
    let indifferent =
        reading.indifferent.iter().filter(open).filter_map(|slot| Text::new(*slot).ok()).take(20).collect();
    let bought = intent == Intent::Other && !references.is_empty();
    Understanding {
        intent,
        wishes,
        price: reading.price.filter(|_| about_products),
        price_direction: reading.direction.filter(|_| about_products),
        quantity: reading.quantity.filter(|_| about_products || bought),
        retracted,
        indifferent,
        references,
        sentiment_permille: sentiment::permille(text),
        language: Text::new(language::detect(text)).unwrap_or_default(),
    }
}

/// "Does it come in blue?", 빨간색으로도 있어요?
fn asks_for_another(reading: &Reading<'_>) -> bool {
    let english = ["available in", "come", "have it", "have this", "have these", "got it", "got this", "got these"];
    let ask = |item: &Item| {
        if item.korean {
            item.is(Cue::Sell) || item.text.contains("있") || item.text == "재고"
        } else {
            item.is(Cue::Ask) && english.iter().any(|words| item.text.contains(words))
        }
    };
    reading.items.iter().any(ask)
}

/// "Nothing too big" rules out what is large, though "too big" alone asks for what is small.
fn turned<'v>(item: &Item, slot: &str, value: &'v str, wanted: bool) -> &'v str {
    let too = item.text.starts_with("too ") || item.text.contains("bit ") || item.text.starts_with("너무");
    match value {
        "small" if slot == "size" && too && !wanted => "large",
        "large" if slot == "size" && too && !wanted => "small",
        _ => value,
    }
}

/// Values wanted and unwanted, in the order in which they are said; of one that is both, that it is unwanted.
fn wishes(reading: &Reading<'_>) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    let mut push = |slot: &str, value: &str, wanted: bool| {
        let (Ok(slot), Ok(value)) = (Text::new(slot), Text::new(value)) else { return };
        // What is ruled out is named again to say why: "not pink, because pink is for babies".
        match wishes.iter_mut().find(|wish| wish.slot == slot && wish.value == value) {
            Some(known) => known.wanted &= wanted,
            None => wishes.push(Wish { slot, value, wanted }),
        }
    };
    for item in &reading.items {
        let wanted = match item.role {
            Role::Open => true,
            Role::Unwanted => false,
            Role::Retracted | Role::Used => continue,
        };
        match &item.meaning {
            Meaning::Terms(terms) => {
                if let Some(Term { slot, value, .. }) = terms.first() {
                    push(slot, turned(item, slot, value, wanted), wanted);
                }
            }
            Meaning::Products(products) if !wanted => products.iter().for_each(|id| push(REFERENCE, id, false)),
            _ => {}
        }
    }
    for size in &reading.sizes {
        push("size", size, true);
    }
    wishes.truncate(WISHES);
    wishes
}

fn products(reading: &Reading<'_>, role: Role) -> Vec<ProductId> {
    let mut products: Vec<ProductId> = Vec::new();
    for item in reading.items.iter().filter(|item| item.role == role) {
        if let Meaning::Products(spoken_of) = &item.meaning {
            for id in spoken_of {
                if !products.contains(id) && products.len() < 200 {
                    products.push(id.clone());
                }
            }
        }
    }
    products
}

fn retracted(reading: &Reading<'_>) -> Vec<Retraction> {
    let terms = reading.items.iter().filter(|item| item.role == Role::Retracted).filter_map(Item::term);
    let named = terms.map(|term| (term.slot, term.value.to_string()));
    let all = reading.reset.then(|| (EVERYTHING, EVERYTHING.to_owned()));
    let mut retracted: Vec<Retraction> = Vec::new();
    for (slot, value) in named.chain(reading.retracted.iter().cloned()).chain(all) {
        if let (Ok(slot), Ok(value)) = (Text::new(slot), Text::new(value)) {
            let retraction = Retraction { slot, value };
            if !retracted.contains(&retraction) && retracted.len() < WISHES {
                retracted.push(retraction);
            }
        }
    }
    retracted
}

#[cfg(test)]
#[path = "analysis_tests.rs"]
mod tests;
