//! Dialogue state: the request after a message as a function of the former request, the understanding of the message
//! (by this analyser or a model) and the products shown.
//!
//! - **A new product kind starts a new request.** Wishes about the shopper stay: excluded materials and brands, and the
//!   occasion. Wishes about the former product go: colour, pattern, style, size, price, quantity.
//! - **Any other message changes the request.** A value replaces the earlier ones of its slot; several values of one
//!   message are alternatives. An exclusion removes wishes for the value and for its narrower values (not metal: not
//!   zinc).
//! - **Cheaper** sets a limit below the price of the referenced products, else below the cheapest of the first three
//!   shown; **dearer** above it, else above the dearest of these. If nothing is found, the limit is dropped again by
//!   the next message.
//! - **Any colour** removes wishes and exclusions of colours; a retraction removes its value likewise.
//! - Small talk and other messages that are not about products change nothing.

use jangbogo_events::{
    Currency, Intent, Money, PriceDirection, PriceRange, ProductId, Request, Text, Understanding, Wish,
};
use jangbogo_lexicon::Slot;

use crate::parse_state::ShownProduct;

/// Slot of a wish that excludes a product that was shown; the value is the product's id.
pub(crate) const REFERENCE: &str = "reference";

/// Slot and value of a retraction of all wishes.
pub(crate) const EVERYTHING: &str = "everything";

/// Limit of the search words, in characters.
const MAX_WORDS_CHARS: usize = 512;

/// Number of shown products that "cheaper" and "dearer" compare with.
const COMPARED_PRODUCTS: usize = 3;

/// Slots in the order of an English noun phrase.
const NOUN_PHRASE_ORDER: &[&str] =
    &["size", "style", "color", "occasion", "brand", "pattern", "material", "product", "category"];

/// A former message of the conversation with its answer.
#[derive(Clone, Copy, Debug)]
pub struct AnalysedMessage<'a> {
    pub analysis: &'a Understanding,
    pub request: &'a Request,
    /// True if no product was found for the request.
    pub found_nothing: bool,
}

/// The request that the next message changes, by the former messages, the newest last.
#[must_use]
pub fn request_so_far<'a>(answered: impl DoubleEndedIterator<Item = AnalysedMessage<'a>>) -> Request {
    let mut newest_first = answered.rev().peekable();
    let Some(mut request) = newest_first.peek().map(|newest| newest.request.clone()) else { return Request::default() };
    let mut in_effect = newest_first.skip_while(|one| one.found_nothing && one.analysis.price_direction.is_some());
    request.price = in_effect.next().and_then(|one| one.request.price);
    request
}

#[must_use]
pub fn next_request(before: &Request, understanding: &Understanding, shown: &[ShownProduct]) -> Request {
    let mut request = before.clone();
    match understanding.intent {
        Intent::SmallTalk | Intent::Other => return request,
        // The answer is about the products that this message refers to, never about those of a former message.
        _ => request.like.clone_from(&understanding.references),
    }
    apply_retractions(&mut request, understanding);
    if starts_new_request(before, understanding) {
        request = Request { wishes: wishes_about_shopper(&request.wishes), ..Request::default() };
    }
    for slot in &understanding.indifferent {
        match &**slot {
            "price" => request.price = None,
            "quantity" => request.quantity = None,
            slot => request.wishes.retain(|wish| &*wish.slot != slot),
        }
    }
    add_wishes(&mut request, &understanding.wishes);
    if understanding.price.is_some() {
        request.price = understanding.price;
    }
    if let Some(direction) = understanding.price_direction
        && let Some(price) = relative_limit(direction, &understanding.references, shown)
    {
        request.price = Some(narrow(price, request.price, direction));
    } else if !understanding.references.is_empty() {
        request.like.clone_from(&understanding.references);
    }
    request.quantity = understanding.quantity.or(request.quantity);
    request.words = search_words(&request.wishes);
    request
}

fn apply_retractions(request: &mut Request, understanding: &Understanding) {
    for retraction in &understanding.retracted {
        match &*retraction.slot {
            EVERYTHING => *request = Request::default(),
            "price" => request.price = None,
            "quantity" => request.quantity = None,
            _ => request.wishes.retain(|wish| wish.slot != retraction.slot || wish.value != retraction.value),
        }
    }
}

fn starts_new_request(before: &Request, understanding: &Understanding) -> bool {
    let mut kinds = understanding.wishes.iter().filter(|wish| wish.wanted && wish.names_kind()).peekable();
    kinds.peek().is_some() && kinds.all(|kind| !before.wishes.contains(kind))
}

fn wishes_about_shopper(wishes: &[Wish]) -> Vec<Wish> {
    let stays = |wish: &&Wish| match &*wish.slot {
        "material" | "brand" => !wish.wanted,
        "occasion" => true,
        _ => false,
    };
    wishes.iter().filter(stays).cloned().collect()
}

fn add_wishes(request: &mut Request, wishes: &[Wish]) {
    // First the replaced values are removed, so that several values of one message stay.
    for wish in wishes {
        request.wishes.retain(|other| {
            let replaced = wish.wanted && other.wanted && other.slot == wish.slot;
            let contradicted = other.slot == wish.slot && other.value == wish.value;
            let excluded = !wish.wanted && other.wanted && is_a_kind_of(other, wish);
            !(replaced || contradicted || excluded)
        });
        if &*wish.slot == REFERENCE && !wish.wanted {
            request.like.retain(|id| id.as_str() != &*wish.value);
        }
    }
    request.wishes.extend(wishes.iter().cloned());
    request.wishes.truncate(100);
}

/// True if a value is a kind of another: zinc of metal.
fn is_a_kind_of(narrow: &Wish, wide: &Wish) -> bool {
    let Some(slot) = Slot::from_name(&narrow.slot).filter(|_| narrow.slot == wide.slot) else { return false };
    jangbogo_lexicon::with_implied(slot, &narrow.value).any(|value| value == &*wide.value)
}

/// The price limit that "cheaper" or "dearer" sets; none without a price to compare with.
fn relative_limit(direction: PriceDirection, references: &[ProductId], shown: &[ShownProduct]) -> Option<PriceRange> {
    let compared = shown.iter().filter(|product| references.contains(&product.product_id));
    let mut prices: Vec<Money> = compared.filter_map(|product| product.price).collect();
    if prices.is_empty() {
        prices = shown.iter().take(COMPARED_PRODUCTS).filter_map(|product| product.price).collect();
    }
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

/// A new limit with the other end of the old one, unless the range would be empty.
fn narrow(new: PriceRange, old: Option<PriceRange>, direction: PriceDirection) -> PriceRange {
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

/// Search words: wanted values in the order of an English noun phrase.
fn search_words(wishes: &[Wish]) -> Text<MAX_WORDS_CHARS> {
    let mut ordered: Vec<(usize, &Wish)> = wishes
        .iter()
        .filter(|wish| wish.wanted)
        .filter_map(|wish| Some((NOUN_PHRASE_ORDER.iter().position(|slot| *slot == &*wish.slot)?, wish)))
        .collect();
    ordered.sort_by_key(|(order, _)| *order);
    let mut words = String::new();
    for (_, wish) in ordered {
        let value = if &*wish.slot == "category" { category_words(&wish.value) } else { wish.value.to_string() };
        for word in value.split_whitespace() {
            if words.chars().count() + word.chars().count() < MAX_WORDS_CHARS {
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
