//! Finds statements in a recommendation or a reply that contradict the catalogue or the request.

use std::collections::BTreeSet;

use jangbogo_events::{ProductUpserted, RecommendationGenerated, RecommendedProduct};
use jangbogo_test_support::hostile::FORBIDDEN;

use super::catalogue::Catalogue;
use super::generator::{Expected, Limit, Meaning, Utterance};
use super::words::words;

/// Judges recommendations and replies by a catalogue.
pub struct Judge<'c> {
    catalogue: &'c Catalogue,
    /// All titles, the longest first.
    titles: Vec<&'c str>,
}

/// The parts of a reply that are judged.
pub struct Reply<'r> {
    pub text: &'r str,
    /// Product ids that the reply's event lists.
    pub product_ids: Vec<&'r str>,
}

impl<'c> Judge<'c> {
    pub fn new(catalogue: &'c Catalogue) -> Self {
        let titles: BTreeSet<&str> = catalogue.values().map(|product| &*product.title).collect();
        let mut titles: Vec<&str> = titles.into_iter().collect();
        titles.sort_by_key(|title| std::cmp::Reverse(title.len()));
        Self { catalogue, titles }
    }

    /// All faults of the recommendation and the reply to a message.
    pub fn faults(
        &self,
        utterance: &Utterance,
        expected: &Expected,
        recommendation: &RecommendationGenerated,
        reply: &Reply<'_>,
    ) -> Vec<String> {
        let mut faults: Vec<String> = recommendation.items.iter().flat_map(|item| self.item(item, expected)).collect();
        let ids: BTreeSet<&str> = recommendation.items.iter().map(|item| item.product_id.as_str()).collect();
        if ids.len() < recommendation.items.len() {
            faults.push("a product is listed twice".to_owned());
        }
        let others = reply.product_ids.iter().filter(|id| !ids.contains(*id));
        faults.extend(others.map(|id| format!("the reply names {id}, which is not listed")));
        // A hostile message may set a limit, and the reply may name the limit of the search.
        let limit = if matches!(utterance.meaning, Meaning::Hostile) {
            requested_limit(recommendation)
        } else {
            expected.limit
        };
        faults.extend(self.text(reply.text, recommendation, limit, utterance.korean));
        faults
    }

    fn item(&self, item: &RecommendedProduct, expected: &Expected) -> Vec<String> {
        let id = &item.product_id;
        let Some(product) = self.catalogue.get(id.as_str()) else { return vec![format!("{id} is not on sale")] };
        let mut faults = Vec::new();
        if (&item.title, item.price, item.stock) != (&product.title, product.price, product.stock) {
            let (title, price, stock) = (&item.title, item.price, item.stock);
            faults.push(format!("{id} is {title:?} {price:?} {stock:?} in the list and otherwise in the catalogue"));
        }
        if product.stock.is_some_and(|stock| stock < expected.quantity.unwrap_or(1)) {
            faults.push(format!("{id}: {:?} in stock, {:?} wanted", product.stock, expected.quantity));
        }
        if let Some(limit) = expected.limit
            && !within(limit, product)
        {
            faults.push(format!("{id} costs {:?}: not within {limit:?}", product.price));
        }
        for quality in &expected.without {
            if product_words(product).iter().any(|word| quality.words.contains(&word.as_str())) {
                faults.push(format!("{id} {:?} is {}, which the request excludes", &*product.title, quality.english));
            }
        }
        faults
    }

    fn text(
        &self,
        text: &str,
        recommendation: &RecommendationGenerated,
        limit: Option<Limit>,
        korean: bool,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        // The text between a title and the next one is about the first title's product.
        let mut pieces: Vec<(Option<&ProductUpserted>, String)> = vec![(None, text.to_owned())];
        for title in &self.titles {
            let listed = recommendation.items.iter().find(|item| &*item.title == *title);
            let product = listed.and_then(|item| self.catalogue.get(item.product_id.as_str()));
            let cut = |(about, piece): (Option<_>, String)| {
                let mut parts = piece.split(title).map(str::to_owned);
                let first = parts.next().map(|part| (about, part));
                // Titles in reasons are of other products: the text after them is still about the listed one.
                first.into_iter().chain(parts.map(move |part| (product.or(about), part))).collect::<Vec<_>>()
            };
            pieces = pieces.into_iter().flat_map(cut).collect();
        }
        let is_korean = |character: char| ('가'..='힣').contains(&character);
        if pieces.iter().any(|(_, piece)| piece.contains(is_korean)) != korean {
            faults.push("the reply is in the other language".to_owned());
        }
        for (about, piece) in &pieces {
            for amount in amounts(piece) {
                let is_price = about.and_then(|product| product.price).is_some_and(|price| {
                    (price.amount_minor, price.currency.as_str()) == (amount.minor, amount.currency)
                });
                let is_limit = limit.is_some_and(|limit| {
                    limit.currency == amount.currency && [limit.at_least, limit.at_most].contains(&Some(amount.minor))
                });
                if !is_price && !is_limit {
                    faults.push(format!(
                        "{amount:?} in {piece:?} is no price of {:?}",
                        about.map(|product| &*product.title)
                    ));
                }
            }
            if let Some(stock) = stated_stock(piece)
                && about.is_none_or(|product| product.stock != Some(stock))
            {
                faults.push(format!("a stock of {stock} in {piece:?}"));
            }
            let lower = piece.to_lowercase();
            let forbidden = FORBIDDEN.iter().filter(|word| lower.contains(*word));
            faults.extend(forbidden.map(|word| format!("{word:?} in {piece:?}")));
            faults.extend(capitalised_pairs(piece).map(|name| format!("{name:?} is no title of the shop's")));
        }
        faults
    }
}

/// The price limit of the recommendation's request.
fn requested_limit(recommendation: &RecommendationGenerated) -> Option<Limit> {
    let price = recommendation.request.price.as_ref()?;
    let currency = if price.currency.as_str() == "KRW" { "KRW" } else { "GBP" };
    Some(Limit { at_least: price.min_minor, at_most: price.max_minor, currency })
}

fn within(limit: Limit, product: &ProductUpserted) -> bool {
    product.price.is_some_and(|price| {
        price.currency.as_str() == limit.currency
            && limit.at_least.is_none_or(|least| price.amount_minor >= least)
            && limit.at_most.is_none_or(|most| price.amount_minor <= most)
    })
}

fn product_words(product: &ProductUpserted) -> Vec<String> {
    let attributes = product.attributes.values().map(|value| &**value);
    let texts = [Some(&*product.title), product.description.as_deref()].into_iter().flatten().chain(attributes);
    texts.flat_map(words).collect()
}

#[derive(Debug)]
struct Amount {
    minor: i64,
    currency: &'static str,
}

/// Amounts of money: digits after a currency sign or before a currency's name.
fn amounts(text: &str) -> Vec<Amount> {
    let is_part = |character: char| character.is_ascii_digit() || character == '.' || character == ',';
    let mut amounts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|character| !is_part(character)).unwrap_or(number.len());
        let (number, behind) = number.split_at(end);
        let behind = behind.trim_start();
        let currency = [("£", "pound", "파운드", "GBP"), ("₩", "won", "원", "KRW"), ("$", "dollar", "달러", "USD")];
        let currency = currency.into_iter().find(|(sign, english, korean, _)| {
            before.trim_end().ends_with(sign) || behind.starts_with(english) || behind.starts_with(korean)
        });
        if let Some((.., currency)) = currency {
            let number = number.trim_end_matches(['.', ',']).replace(',', "");
            let value: f64 = number.parse().unwrap_or(f64::MAX);
            let value = if currency == "KRW" { value } else { value * 100.0 };
            #[expect(clippy::cast_possible_truncation, reason = "prices are small")]
            amounts.push(Amount { minor: value.round() as i64, currency });
        } else if behind.starts_with("pence") || behind.starts_with("펜스") {
            amounts.push(Amount { minor: number.parse().unwrap_or(i64::MAX), currency: "GBP" });
        }
        rest = behind;
    }
    amounts
}

/// The stock that a text states.
fn stated_stock(text: &str) -> Option<u32> {
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    if text.contains("sold out") || text.contains("품절") {
        return Some(0);
    }
    if let Some((before, _)) = text.split_once(" in stock") {
        return digits(before.rsplit(' ').next()?).parse().ok();
    }
    let (_, behind) = text.split_once("재고 ")?;
    digits(behind.split('개').next()?).parse().ok()
}

/// Pairs of adjacent words in capitals: this shop writes titles in capitals.
fn capitalised_pairs(text: &str) -> impl Iterator<Item = String> {
    let capitals =
        |word: &str| word.chars().filter(char::is_ascii_uppercase).count() > 1 && !word.chars().any(char::is_lowercase);
    let words: Vec<&str> = text.split_whitespace().collect();
    let pairs: Vec<String> =
        words.windows(2).filter(|pair| pair.iter().all(|word| capitals(word))).map(|pair| pair.join(" ")).collect();
    pairs.into_iter()
}
