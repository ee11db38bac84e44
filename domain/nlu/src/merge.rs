//! What is looked for after a message: a function of what was looked for before, what the message says, and what was
//! shown. It does not matter who understood the message, this analyser or a model.
//!
//! - **A new kind of thing starts a new request.** What is about the shopper stays: a material or a maker that is ruled
//!   out, and the occasion. What is about the former thing goes: its colour, pattern, style, size, price, quantity.
//! - **Anything else changes the request.** A value takes the place of the earlier ones of its slot; several said at once
//!   are alternatives. What is ruled out is no longer wanted, and what it is a kind of neither (not metal: not zinc).
//! - **Cheaper** is below the price of what is spoken of, else below the cheapest of the first three shown; **dearer** above
//!   it, else above the dearest of these. One that finds nothing is not held to: the next message goes on from the limit
//!   before it.
//! - **Any colour** removes what was said of colours, wanted or not. What is taken back is removed likewise.
//! - Small talk and everything else that is not about products changes nothing.

use jangbogo_events::{
    Currency, Intent, Money, PriceDirection, PriceRange, ProductId, Request, Text, Understanding, Wish,
};
use jangbogo_lexicon::Slot;

use crate::parse_state::ShownProduct;

/// The slot of a wish that leaves out a product that was shown; its value is the product's id.
pub const REFERENCE: &str = "reference";

/// Slot and value of a retraction of all that was said.
pub const EVERYTHING: &str = "everything";

/// The longest text to search by, in characters.
const WORDS: usize = 512;

/// How many of the products shown a shopper is taken to have looked at.
const LOOKED_AT: usize = 3;

/// The order of words in an English noun phrase.
const ORDER: &[&str] = &["size", "style", "color", "occasion", "brand", "pattern", "material", "product", "category"];

/// A message that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// What it says.
    pub understood: &'a Understanding,
    /// What was looked for after it.
    pub request: &'a Request,
    /// Whether there was no product for that.
    pub found_nothing: bool,
}

/// What the next message goes on from, by those before it, the newest last.
#[must_use]
pub fn request_so_far<'a>(answered: impl DoubleEndedIterator<Item = Answered<'a>>) -> Request {
    let mut newest_first = answered.rev().peekable();
    let Some(mut request) = newest_first.peek().map(|newest| newest.request.clone()) else { return Request::default() };
    let mut held = newest_first.skip_while(|one| one.found_nothing && one.understood.price_direction.is_some());
    request.price = held.next().and_then(|one| one.request.price);
    request
}

/// What is looked for after a message.
#[must_use]
pub fn next_request(before: &Request, said: &Understanding, shown: &[ShownProduct]) -> Request {
    let mut request = before.clone();
    match said.intent {
        Intent::SmallTalk | Intent::Other => return request,
        // What is spoken of now is what the answer is about; a message that speaks of nothing shown is about nothing shown.
        _ => request.like.clone_from(&said.references),
    }
    take_back(&mut request, said);
    if starts_anew(before, said) {
        request = Request { wishes: about_the_shopper(&request.wishes), ..Request::default() };
    }
    for slot in &said.indifferent {
        match &**slot {
            "price" => request.price = None,
            "quantity" => request.quantity = None,
            slot => request.wishes.retain(|wish| &*wish.slot != slot),
        }
    }
    add_wishes(&mut request, &said.wishes);
    if said.price.is_some() {
        request.price = said.price;
    }
    if let Some(direction) = said.price_direction
        && let Some(price) = beside(direction, &said.references, shown)
    {
        request.price = Some(within(price, request.price, direction));
    } else if !said.references.is_empty() {
        request.like.clone_from(&said.references);
    }
    request.quantity = said.quantity.or(request.quantity);
    request.words = words(&request.wishes);
    request
}

fn take_back(request: &mut Request, said: &Understanding) {
    for retraction in &said.retracted {
        match &*retraction.slot {
            EVERYTHING => *request = Request::default(),
            "price" => request.price = None,
            "quantity" => request.quantity = None,
            _ => request.wishes.retain(|wish| wish.slot != retraction.slot || wish.value != retraction.value),
        }
    }
}

fn is_thing(wish: &Wish) -> bool {
    matches!(&*wish.slot, "product" | "category")
}

fn starts_anew(before: &Request, said: &Understanding) -> bool {
    let mut things = said.wishes.iter().filter(|wish| wish.wanted && is_thing(wish)).peekable();
    things.peek().is_some() && things.all(|thing| !before.wishes.contains(thing))
}

fn about_the_shopper(wishes: &[Wish]) -> Vec<Wish> {
    let stays = |wish: &&Wish| match &*wish.slot {
        "material" | "brand" => !wish.wanted,
        "occasion" => true,
        _ => false,
    };
    wishes.iter().filter(stays).cloned().collect()
}

fn add_wishes(request: &mut Request, said: &[Wish]) {
    // First what the new values take the place of, so that several of one message stand side by side.
    for wish in said {
        let implied = |other: &Wish| is_a_kind_of(other, wish);
        request.wishes.retain(|other| {
            let replaced = wish.wanted && other.wanted && other.slot == wish.slot;
            let contradicted = other.slot == wish.slot && other.value == wish.value;
            let ruled_out = !wish.wanted && other.wanted && implied(other);
            !(replaced || contradicted || ruled_out)
        });
        if &*wish.slot == REFERENCE && !wish.wanted {
            request.like.retain(|id| id.as_str() != &*wish.value);
        }
    }
    request.wishes.extend(said.iter().cloned());
    request.wishes.truncate(100);
}

/// Whether a value is a kind of another: zinc of metal.
fn is_a_kind_of(narrow: &Wish, wide: &Wish) -> bool {
    let Some(slot) = Slot::from_name(&narrow.slot).filter(|_| narrow.slot == wide.slot) else { return false };
    jangbogo_lexicon::with_implied(slot, &narrow.value).any(|value| value == &*wide.value)
}

/// The limit that "cheaper" or "dearer" sets.
fn beside(direction: PriceDirection, references: &[ProductId], shown: &[ShownProduct]) -> Option<PriceRange> {
    let spoken_of = shown.iter().filter(|product| references.contains(&product.product_id));
    let spoken_of: Vec<Money> = spoken_of.filter_map(|product| product.price).collect();
    let looked_at = || shown.iter().take(LOOKED_AT).filter_map(|product| product.price).collect();
    let prices: Vec<Money> = if spoken_of.is_empty() { looked_at() } else { spoken_of };
    let currency: Currency = prices.first()?.currency;
    let amounts = prices.iter().filter(|price| price.currency == currency).map(|price| price.amount_minor);
    Some(match direction {
        PriceDirection::Cheaper => {
            PriceRange { min_minor: None, max_minor: Some((amounts.min()? - 1).max(0)), currency }
        }
        PriceDirection::Dearer => {
            PriceRange { min_minor: Some(amounts.max()?.saturating_add(1)), max_minor: None, currency }
        }
    })
}

/// A new limit together with the other end of the old one, as long as anything can be within both.
fn within(new: PriceRange, old: Option<PriceRange>, direction: PriceDirection) -> PriceRange {
    let Some(old) = old.filter(|old| old.currency == new.currency) else { return new };
    match direction {
        PriceDirection::Cheaper => {
            PriceRange { min_minor: old.min_minor.filter(|min| new.max_minor.is_none_or(|max| *min <= max)), ..new }
        }
        PriceDirection::Dearer => {
            PriceRange { max_minor: old.max_minor.filter(|max| new.min_minor.is_none_or(|min| min <= *max)), ..new }
        }
    }
}

/// What to search the catalogue by: wanted values in the order of an English noun phrase.
fn words(wishes: &[Wish]) -> Text<WORDS> {
    let mut wanted: Vec<(usize, &Wish)> = wishes
        .iter()
        .filter(|wish| wish.wanted)
        .filter_map(|wish| Some((ORDER.iter().position(|slot| *slot == &*wish.slot)?, wish)))
        .collect();
    wanted.sort_by_key(|(order, _)| *order);
    let mut words = String::new();
    for (_, wish) in wanted {
        let value = if &*wish.slot == "category" { category_words(&wish.value) } else { wish.value.to_string() };
        for word in value.split_whitespace() {
            if words.chars().count() + word.chars().count() < WORDS {
                if !words.is_empty() {
                    words.push(' ');
                }
                words.push_str(word);
            }
        }
    }
    Text::new(words).unwrap_or_default()
}

fn category_words(slug: &str) -> String {
    slug.split('-').filter(|word| *word != "and").collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
