//! The collaborative score (item-to-item): products bought together with the member's products.
//!
//! Three kinds of evidence, each in its own band of scores so that the stronger comes first: neighbours of the member's
//! products, popular products of the member's favourite categories, trending products of the shop.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use crate::rank::{Evidence, SourceEvent};

/// Most neighbours named in a reason; further ones count in the score only.
const MAX_NAMED_NEIGHBOURS: usize = 3;
/// Most favourite categories of a member.
const MAX_CATEGORIES: usize = 3;

/// Collaborative input: a member's history and the shop's co-purchases.
#[derive(Clone, Debug, Default)]
pub struct CollaborativeInput {
    /// Products that the member bought or viewed.
    pub history: Vec<HistoryProduct>,
    /// Neighbours of each product of the history.
    pub neighbours: BTreeMap<String, Vec<Scored>>,
    /// Popular products of the member's favourite categories, as [`favourite_categories`] gives them.
    pub popular: Vec<PopularIn>,
    /// Trending products of the whole shop.
    pub trending: Vec<Scored>,
}

/// A product of a member's history.
#[derive(Clone, Debug, Deserialize)]
pub struct HistoryProduct {
    pub product_id: String,
    /// Weight in the member's taste; positive.
    pub weight: f64,
    /// Number of orders with the product; 0 if it was only viewed.
    pub orders: i64,
    /// Id of the member's newest event about the product.
    #[serde(default)]
    pub event_id: Option<String>,
}

impl HistoryProduct {
    /// The member's newest event about the product, as a cause.
    fn act(&self) -> Option<SourceEvent> {
        Some(SourceEvent { event_id: self.event_id.clone()?, product_id: Some(self.product_id.clone()) })
    }
}

/// A product with a score that is comparable within its list.
#[derive(Clone, Debug, Deserialize)]
pub struct Scored {
    pub product_id: String,
    /// Not negative.
    pub score: f64,
}

/// A category that a member favours.
#[derive(Clone, Debug, PartialEq)]
pub struct Favourite {
    pub category: String,
    /// Share of the member's taste: 0 to 1.
    pub share: f64,
    /// The member's newest event about the product with the largest weight.
    pub act: Option<SourceEvent>,
}

/// The popular products of a category.
#[derive(Clone, Debug)]
pub struct PopularIn {
    pub favourite: Favourite,
    pub products: Vec<Scored>,
}

/// A product's collaborative score with its evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collaborative {
    /// 0 to 1: above 0.5 for neighbours, above 0.2 for popular ones.
    pub score: f64,
    /// Every kind of evidence, the strongest first.
    pub evidence: Vec<Evidence>,
    /// The member's events that the score comes from.
    pub causes: Vec<SourceEvent>,
}

/// Categories of a history by weight, the largest first, with their shares in the products that have a category.
#[must_use]
pub fn favourite_categories<'a>(
    history: &'a [HistoryProduct],
    category_of: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<Favourite> {
    let mut products: BTreeMap<&str, Vec<&HistoryProduct>> = BTreeMap::new();
    for product in history {
        if let Some(category) = category_of(&product.product_id) {
            products.entry(category).or_default().push(product);
        }
    }
    let weight = |products: &[&HistoryProduct]| products.iter().map(|product| product.weight).sum::<f64>();
    let total: f64 = products.values().map(|products| weight(products)).sum();
    let favourite = |(category, products): (&str, Vec<&HistoryProduct>)| {
        let heaviest = products
            .iter()
            .min_by(|left, right| by_score_then_id((left.weight, &left.product_id), (right.weight, &right.product_id)));
        let act = heaviest.and_then(|product| product.act());
        Favourite { category: category.to_owned(), share: weight(&products) / total, act }
    };
    let mut favourites: Vec<Favourite> = products.into_iter().map(favourite).collect();
    favourites.sort_by(|left, right| by_score_then_id((left.share, &left.category), (right.share, &right.category)));
    favourites.truncate(MAX_CATEGORIES);
    favourites
}

/// Collaborative scores above 0, by product.
#[must_use]
pub fn scores(input: &CollaborativeInput) -> BTreeMap<&str, Collaborative> {
    let neighbours = by_neighbours(input);
    let popular = by_popularity(input);
    let trending: HashMap<&str, f64> =
        input.trending.iter().map(|scored| (scored.product_id.as_str(), scored.score)).collect();
    let best_neighbour = largest(neighbours.values().map(|evidence| evidence.score));
    let best_popular = largest(popular.values().map(|evidence| evidence.score));
    let best_trending = largest(trending.values().copied());
    let products: BTreeSet<&str> = neighbours.keys().chain(popular.keys()).chain(trending.keys()).copied().collect();
    let scored = products.into_iter().map(|product_id| {
        let mut result = Collaborative::default();
        let mut score = None;
        if let Some(neighbour) = neighbours.get(product_id) {
            score = Some(0.5 + 0.5 * neighbour.score / best_neighbour);
            result.evidence.extend(neighbour.evidence());
            result.causes.extend(neighbour.causes());
        }
        if let Some(popular) = popular.get(product_id) {
            score = score.or(Some(0.2 + 0.3 * popular.score / best_popular));
            result.evidence.push(Evidence::Popular { category: popular.favourite.category.clone() });
            result.causes.extend(popular.favourite.act.clone().filter(|act| !result.causes.contains(act)));
        }
        if let Some(attention) = trending.get(product_id) {
            score = score.or(Some(0.2 * attention / best_trending));
            result.evidence.push(Evidence::Trending);
        }
        result.score = score.unwrap_or_default();
        (product_id, result)
    });
    scored.filter(|(_, result)| result.score > 0.0).collect()
}

/// Co-purchase evidence for a product: contributions of products of the history.
#[derive(Default)]
struct NeighbourEvidence<'a> {
    score: f64,
    parts: Vec<(f64, &'a HistoryProduct)>,
}

impl NeighbourEvidence<'_> {
    fn heaviest(&self) -> Vec<&(f64, &HistoryProduct)> {
        let mut parts: Vec<&(f64, &HistoryProduct)> = self.parts.iter().collect();
        parts.sort_by(|left, right| by_score_then_id((left.0, &left.1.product_id), (right.0, &right.1.product_id)));
        parts.truncate(MAX_NAMED_NEIGHBOURS);
        parts
    }

    fn evidence(&self) -> impl Iterator<Item = Evidence> {
        self.heaviest().into_iter().map(|(part, source)| Evidence::Neighbour {
            product_id: source.product_id.clone(),
            bought: source.orders > 0,
            contribution: part / self.score,
        })
    }

    fn causes(&self) -> impl Iterator<Item = SourceEvent> {
        self.heaviest().into_iter().filter_map(|(_, source)| source.act())
    }
}

/// Neighbours of the history's products, with their scores weighted by the history.
fn by_neighbours(input: &CollaborativeInput) -> HashMap<&str, NeighbourEvidence<'_>> {
    let mut evidence: HashMap<&str, NeighbourEvidence<'_>> = HashMap::new();
    for source in &input.history {
        for neighbour in input.neighbours.get(&source.product_id).map(Vec::as_slice).unwrap_or_default() {
            let part = source.weight * neighbour.score;
            if part > 0.0 {
                let target = evidence.entry(&neighbour.product_id).or_default();
                target.score += part;
                target.parts.push((part, source));
            }
        }
    }
    evidence
}

/// Evidence for a product by the popularity in its category.
struct PopularEvidence<'a> {
    score: f64,
    favourite: &'a Favourite,
}

/// Popular products, with their scores relative to the category's best, weighted by the category's share.
fn by_popularity(input: &CollaborativeInput) -> HashMap<&str, PopularEvidence<'_>> {
    let mut evidence: HashMap<&str, PopularEvidence<'_>> = HashMap::new();
    for PopularIn { favourite, products } in &input.popular {
        let best = largest(products.iter().map(|scored| scored.score));
        for scored in products {
            let score = favourite.share * scored.score / best;
            let is_better = evidence.get(scored.product_id.as_str()).is_none_or(|other| other.score < score);
            if score > 0.0 && is_better {
                evidence.insert(&scored.product_id, PopularEvidence { score, favourite });
            }
        }
    }
    evidence
}

/// The largest score, or 1 without a score above 0, for use as a divisor.
pub(crate) fn largest(scores: impl Iterator<Item = f64>) -> f64 {
    let largest = scores.fold(0.0, f64::max);
    if largest > 0.0 { largest } else { 1.0 }
}

#[must_use]
pub fn by_score_then_id(left: (f64, &str), right: (f64, &str)) -> Ordering {
    right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(products: &[(&str, f64)]) -> Vec<Scored> {
        products.iter().map(|(id, score)| Scored { product_id: (*id).to_owned(), score: *score }).collect()
    }

    fn popular_in(category: &str, share: f64, products: &[(&str, f64)]) -> PopularIn {
        let act = Some(SourceEvent { event_id: format!("act in {category}"), product_id: None });
        PopularIn { favourite: Favourite { category: category.to_owned(), share, act }, products: scored(products) }
    }

    fn history(products: &[(&str, f64, i64)]) -> Vec<HistoryProduct> {
        let product = |&(id, weight, orders): &(&str, f64, i64)| HistoryProduct {
            product_id: id.to_owned(),
            weight,
            orders,
            event_id: Some(format!("act with {id}")),
        };
        products.iter().map(product).collect()
    }

    fn shopper() -> CollaborativeInput {
        CollaborativeInput {
            history: history(&[("bag", 10.0, 2), ("lamp", 1.0, 0)]),
            neighbours: BTreeMap::from([
                ("bag".to_owned(), scored(&[("purse", 0.4), ("bulb", 0.1)])),
                ("lamp".to_owned(), scored(&[("bulb", 0.5), ("bag", 0.3)])),
            ]),
            popular: vec![
                popular_in("bags", 0.9, &[("tote", 8.0), ("bag", 9.0)]),
                popular_in("lights", 0.1, &[("bulb", 3.0)]),
            ],
            trending: scored(&[("star", 100.0), ("tote", 50.0)]),
        }
    }

    #[test]
    fn neighbours_come_first_then_popular_then_trending() {
        let input = shopper();
        let scores = scores(&input);
        let mut order: Vec<(&str, f64)> = scores.iter().map(|(id, result)| (*id, result.score)).collect();
        order.sort_by(|left, right| by_score_then_id((left.1, left.0), (right.1, right.0)));
        let ids: Vec<&str> = order.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ["purse", "bulb", "bag", "tote", "star"]);
        assert!((order[0].1 - 1.0).abs() < 1e-12, "the best neighbour");
    }

    #[test]
    fn a_score_has_all_its_evidence_and_causing_events() {
        let input = shopper();
        let scores = scores(&input);
        let Evidence::Neighbour { product_id, bought, contribution } = &scores["bulb"].evidence[0] else {
            panic!("{:?}", scores["bulb"])
        };
        // 10 × 0.1 by the bag, 1 × 0.5 by the lamp.
        assert_eq!((product_id.as_str(), *bought), ("bag", true));
        assert!((contribution - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(scores["bulb"].evidence.len(), 3);
        assert_eq!(scores["bulb"].causes[1].event_id, "act with lamp");
        assert_eq!(scores["tote"].causes[0].event_id, "act in bags");
        assert_eq!(scores["tote"].evidence, [Evidence::Popular { category: "bags".to_owned() }, Evidence::Trending]);
    }

    #[test]
    fn the_order_of_the_inputs_does_not_matter() {
        let mut reversed = shopper();
        reversed.popular.reverse();
        reversed.trending.reverse();
        reversed.neighbours.values_mut().for_each(|list| list.reverse());
        assert_eq!(scores(&shopper()), scores(&reversed));
    }

    #[test]
    fn favourite_categories_share_the_weight_of_what_has_one() {
        let products = history(&[("a", 3.0, 1), ("b", 1.0, 1), ("c", 9.0, 1)]);
        let category_of = |id: &str| match id {
            "a" => Some("bags"),
            "b" => Some("lights"),
            _ => None,
        };
        let favourites = favourite_categories(&products, category_of);
        let shares: Vec<(&str, f64)> = favourites.iter().map(|one| (one.category.as_str(), one.share)).collect();
        assert_eq!(shares, [("bags", 0.75), ("lights", 0.25)]);
        assert_eq!(favourites[1].act.as_ref().map(|act| act.event_id.as_str()), Some("act with b"));
        assert_eq!(favourite_categories(&[], category_of), []);
    }
}
