//! Ranking a member's list: a pure function of what is known and what is asked.
//!
//! Three kinds of evidence, the stronger first: products often bought together with the member's own, products popular
//! in the categories the member favours, products the whole shop looks at. A list holds what the first kind gives, and
//! is filled up by the next. What the member bought already is left out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// The most products an item names as its reason; the rest of them count all the same.
const MAX_NAMED_NEIGHBOURS: usize = 3;
/// So many of the member's categories fill a list up.
pub const MAX_CATEGORIES: usize = 3;

/// Everything a list is ranked from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What the member bought and looked at.
    pub history: Vec<HistoryProduct>,
    /// Every product the member ever bought.
    pub bought: BTreeSet<String>,
    /// The neighbours of the history's products.
    pub neighbours: BTreeMap<String, Vec<Scored>>,
    /// Popular products of the member's favourite categories, as [`favourite_categories`] gives them.
    pub popular: Vec<PopularIn>,
    /// What the whole shop looks at.
    pub trending: Vec<Scored>,
}

/// A product of a member's history.
#[derive(Clone, Debug, Deserialize)]
pub struct HistoryProduct {
    /// Which.
    pub product_id: String,
    /// How much it says of the member's taste; positive.
    pub weight: f64,
    /// In how many orders it was bought; 0 for one that was only looked at.
    pub orders: i64,
}

/// A product with a score that is comparable within its list.
#[derive(Clone, Debug, Deserialize)]
pub struct Scored {
    /// Which.
    pub product_id: String,
    /// Not negative.
    pub score: f64,
}

/// The popular products of a category.
#[derive(Clone, Debug)]
pub struct PopularIn {
    /// Which category.
    pub category: String,
    /// How much of the member's taste it is: 0 to 1.
    pub share: f64,
    /// Its products.
    pub products: Vec<Scored>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The most items.
    pub limit: usize,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// What it stands on.
    pub basis: Basis,
    /// The best first; equal scores by product id.
    pub items: Vec<RankedItem>,
}

/// What a list stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The member's history.
    History,
    /// Nothing is known of the member: what is trending in the shop.
    ColdStart,
}

/// A product of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedItem {
    /// Which.
    pub product_id: String,
    /// Above 0, at most 1; it orders one list.
    pub score: f64,
    /// Every kind of evidence for it, the strongest first.
    pub sources: Vec<Evidence>,
}

/// Why a product is in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Evidence {
    /// It is often bought together with a product of the member's history.
    Neighbour {
        /// The product of the history.
        product_id: String,
        /// Whether the member bought that, rather than looked at it.
        bought: bool,
        /// Its share in this item's score by neighbours: above 0, at most 1.
        contribution: f64,
    },
    /// It is popular in one of the member's favourite categories.
    Popular {
        /// The category.
        category: String,
    },
    /// The whole shop looks at it.
    Trending,
}

/// The categories that weigh most in a history, with their shares of what has a category.
#[must_use]
pub fn favourite_categories<'a>(
    history: &'a [HistoryProduct],
    category_of: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<(String, f64)> {
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for product in history {
        if let Some(category) = category_of(&product.product_id) {
            *weights.entry(category).or_default() += product.weight;
        }
    }
    let total: f64 = weights.values().sum();
    let mut shares: Vec<(String, f64)> =
        weights.into_iter().map(|(category, weight)| (category.to_owned(), weight / total)).collect();
    shares.sort_by(|left, right| by_score_then_id((left.1, &left.0), (right.1, &right.0)));
    shares.truncate(MAX_CATEGORIES);
    shares
}

/// Ranks a list.
#[must_use]
pub fn rank(snapshot: &Snapshot, request: Request) -> Ranking {
    let mut neighbours = by_neighbours(snapshot);
    let mut popular = by_popularity(snapshot);
    let mut trending: HashMap<&str, f64> =
        snapshot.trending.iter().map(|scored| (scored.product_id.as_str(), scored.score)).collect();
    neighbours.retain(|product_id, _| !snapshot.bought.contains(*product_id));
    popular.retain(|product_id, _| !snapshot.bought.contains(*product_id));
    trending.retain(|product_id, _| !snapshot.bought.contains(*product_id));
    let candidates: BTreeSet<&str> = neighbours.keys().chain(popular.keys()).chain(trending.keys()).copied().collect();
    let best_neighbour = largest(neighbours.values().map(|evidence| evidence.score));
    let best_popular = largest(popular.values().map(|evidence| evidence.score));
    let best_trending = largest(trending.values().copied());

    let mut items: Vec<RankedItem> = candidates
        .into_iter()
        .map(|product_id| {
            let mut sources = Vec::new();
            // Each kind of evidence has a band of its own, so that the stronger kind comes first.
            let mut score = None;
            if let Some(found) = neighbours.get(product_id) {
                score = Some(0.5 + 0.5 * found.score / best_neighbour);
                sources.extend(found.named());
            }
            if let Some(found) = popular.get(product_id) {
                score = score.or(Some(0.2 + 0.3 * found.score / best_popular));
                sources.push(Evidence::Popular { category: found.category.to_owned() });
            }
            if let Some(attention) = trending.get(product_id) {
                score = score.or(Some(0.2 * attention / best_trending));
                sources.push(Evidence::Trending);
            }
            RankedItem { product_id: product_id.to_owned(), score: score.unwrap_or_default(), sources }
        })
        .filter(|item| item.score > 0.0)
        .collect();
    items.sort_by(|left, right| by_score_then_id((left.score, &left.product_id), (right.score, &right.product_id)));
    items.truncate(request.limit);
    let basis = if snapshot.history.is_empty() { Basis::ColdStart } else { Basis::History };
    Ranking { basis, items }
}

/// A product's evidence by the products it is bought together with.
#[derive(Default)]
struct NeighbourEvidence<'a> {
    score: f64,
    parts: Vec<(f64, &'a HistoryProduct)>,
}

impl NeighbourEvidence<'_> {
    /// The parts that weigh most, as they are told.
    fn named(&self) -> Vec<Evidence> {
        let mut parts: Vec<&(f64, &HistoryProduct)> = self.parts.iter().collect();
        parts.sort_by(|left, right| by_score_then_id((left.0, &left.1.product_id), (right.0, &right.1.product_id)));
        parts.truncate(MAX_NAMED_NEIGHBOURS);
        let told = parts.into_iter().map(|(part, source)| Evidence::Neighbour {
            product_id: source.product_id.clone(),
            bought: source.orders > 0,
            contribution: part / self.score,
        });
        told.collect()
    }
}

/// The neighbours of the history's products: their scores, weighted by the history.
fn by_neighbours(snapshot: &Snapshot) -> HashMap<&str, NeighbourEvidence<'_>> {
    let mut evidence: HashMap<&str, NeighbourEvidence<'_>> = HashMap::new();
    for source in &snapshot.history {
        for neighbour in snapshot.neighbours.get(&source.product_id).map(Vec::as_slice).unwrap_or_default() {
            let part = source.weight * neighbour.score;
            if part > 0.0 {
                let found = evidence.entry(&neighbour.product_id).or_default();
                found.score += part;
                found.parts.push((part, source));
            }
        }
    }
    evidence
}

/// A product's evidence by its category.
struct PopularEvidence<'a> {
    score: f64,
    category: &'a str,
}

/// Popular products: their place within their category, weighted by the category's share.
fn by_popularity(snapshot: &Snapshot) -> HashMap<&str, PopularEvidence<'_>> {
    let mut evidence: HashMap<&str, PopularEvidence<'_>> = HashMap::new();
    for PopularIn { category, share, products } in &snapshot.popular {
        let best = largest(products.iter().map(|scored| scored.score));
        for scored in products {
            let score = share * scored.score / best;
            let is_better = evidence.get(scored.product_id.as_str()).is_none_or(|known| known.score < score);
            if score > 0.0 && is_better {
                evidence.insert(&scored.product_id, PopularEvidence { score, category });
            }
        }
    }
    evidence
}

/// The largest score; 1 if there is none above 0, so that one can divide by it.
fn largest(scores: impl Iterator<Item = f64>) -> f64 {
    let largest = scores.fold(0.0, f64::max);
    if largest > 0.0 { largest } else { 1.0 }
}

fn by_score_then_id(left: (f64, &str), right: (f64, &str)) -> Ordering {
    right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(products: &[(&str, f64)]) -> Vec<Scored> {
        products.iter().map(|(id, score)| Scored { product_id: (*id).to_owned(), score: *score }).collect()
    }

    fn history(products: &[(&str, f64, i64)]) -> Vec<HistoryProduct> {
        let product =
            |&(id, weight, orders): &(&str, f64, i64)| HistoryProduct { product_id: id.to_owned(), weight, orders };
        products.iter().map(product).collect()
    }

    fn shopper() -> Snapshot {
        Snapshot {
            history: history(&[("bag", 10.0, 2), ("lamp", 1.0, 0)]),
            bought: ["bag", "cup"].map(str::to_owned).into(),
            neighbours: BTreeMap::from([
                ("bag".to_owned(), scored(&[("purse", 0.4), ("cup", 0.9), ("bulb", 0.1)])),
                ("lamp".to_owned(), scored(&[("bulb", 0.5), ("bag", 0.3)])),
            ]),
            popular: vec![
                PopularIn { category: "bags".to_owned(), share: 0.9, products: scored(&[("tote", 8.0), ("bag", 9.0)]) },
                PopularIn { category: "lights".to_owned(), share: 0.1, products: scored(&[("bulb", 3.0)]) },
            ],
            trending: scored(&[("star", 100.0), ("tote", 50.0), ("cup", 10.0)]),
        }
    }

    fn ids(ranking: &Ranking) -> Vec<&str> {
        ranking.items.iter().map(|item| item.product_id.as_str()).collect()
    }

    #[test]
    fn neighbours_come_first_then_popular_then_trending_and_nothing_bought() {
        let ranking = rank(&shopper(), Request { limit: 20 });
        assert_eq!(ranking.basis, Basis::History);
        assert_eq!(ids(&ranking), ["purse", "bulb", "tote", "star"]);
        assert!(ranking.items.is_sorted_by(|left, right| left.score > right.score));
        assert!((ranking.items[0].score - 1.0).abs() < 1e-12, "the best neighbour");
        assert_eq!(ids(&rank(&shopper(), Request { limit: 2 })), ["purse", "bulb"]);
    }

    #[test]
    fn an_item_names_all_its_evidence() {
        let ranking = rank(&shopper(), Request { limit: 20 });
        let Evidence::Neighbour { product_id, bought, contribution } = &ranking.items[1].sources[0] else {
            panic!("{:?}", ranking.items[1])
        };
        // 10 × 0.1 by the bag, 1 × 0.5 by the lamp.
        assert_eq!((product_id.as_str(), *bought), ("bag", true));
        assert!((contribution - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(ranking.items[1].sources.len(), 3);
        assert_eq!(ranking.items[1].sources[2], Evidence::Popular { category: "lights".to_owned() });
        assert_eq!(ranking.items[2].sources, [Evidence::Popular { category: "bags".to_owned() }, Evidence::Trending]);
    }

    #[test]
    fn an_unknown_member_gets_what_is_trending() {
        let snapshot = Snapshot { trending: scored(&[("b", 2.0), ("a", 2.0), ("c", 4.0)]), ..Snapshot::default() };
        let ranking = rank(&snapshot, Request { limit: 20 });
        assert_eq!(ranking.basis, Basis::ColdStart);
        assert_eq!(ids(&ranking), ["c", "a", "b"], "ties break by id");
        assert_eq!(rank(&Snapshot::default(), Request { limit: 20 }).items, []);
    }

    #[test]
    fn the_order_of_the_inputs_does_not_matter() {
        let mut reversed = shopper();
        reversed.popular.reverse();
        reversed.trending.reverse();
        reversed.neighbours.values_mut().for_each(|list| list.reverse());
        assert_eq!(rank(&shopper(), Request { limit: 20 }), rank(&reversed, Request { limit: 20 }));
    }

    #[test]
    fn favourite_categories_share_the_weight_of_what_has_one() {
        let products = history(&[("a", 3.0, 1), ("b", 1.0, 1), ("c", 9.0, 1)]);
        let category_of = |id: &str| match id {
            "a" => Some("bags"),
            "b" => Some("lights"),
            _ => None,
        };
        let expected = [("bags".to_owned(), 0.75), ("lights".to_owned(), 0.25)];
        assert_eq!(favourite_categories(&products, category_of), expected);
        assert_eq!(favourite_categories(&[], category_of), []);
    }
}
