//! Ranking: a pure function of the loaded data and the request.

use std::collections::{BTreeMap, BTreeSet};

use jangbogo_events::{Request, SubScore, Wish};
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::collaborative::{Collaborative, CollaborativeInput, by_score_then_id, largest, scores};
use crate::intent::{Statement, Taste, fit, taste, unmet_wishes};
use crate::weights::Weights;
use crate::{constraints, diversity};

/// Data that a list is ranked from.
#[derive(Clone, Debug, Default)]
pub struct RankingInput {
    /// The member's history, neighbours, popular and trending products.
    pub known: CollaborativeInput,
    /// Every product the member ever bought.
    pub bought: BTreeSet<String>,
    pub taste: Taste,
    /// Products on sale, by id.
    pub candidates: BTreeMap<String, Candidate>,
    /// Product ids found by the search for the request's words, the best first.
    pub found: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    pub basis: Basis,
    /// Weights by which the list is ranked.
    pub weights: Weights,
    pub items: Vec<RankedItem>,
    /// Unmet constraints: requested, but not met by the best-matching product.
    pub unmet: Vec<Wish>,
}

/// Evidence that a list is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    History,
    /// A member without a history: products that are trending in the shop.
    ColdStart,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedItem {
    pub product_id: String,
    /// The weighted sum of the sub-scores: above 0, at most 1.
    pub score: f64,
    /// Similarity of texts: 0 to 1.
    pub content: f64,
    /// Collaborative score, by co-purchase and popularity: 0 to 1.
    pub collaborative: f64,
    /// Fit with the request, or with the member's preferences: 0 to 1.
    pub intent: f64,
    /// All evidence, by contribution to the score.
    pub sources: Vec<Evidence>,
    /// Events that the sub-scores come from.
    pub causes: Vec<(SubScore, SourceEvent)>,
}

/// An event that contributes to a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEvent {
    pub event_id: String,
    /// Product of the event, if another one.
    pub product_id: Option<String>,
}

/// Evidence for a product in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Evidence {
    /// Often bought together with a product of the member's history.
    Neighbour {
        /// Product of the history.
        product_id: String,
        /// True if the member bought that product, false if they only viewed it.
        bought: bool,
        /// Its share in this item's score by neighbours: above 0, at most 1.
        contribution: f64,
    },
    /// Popular in one of the member's favourite categories.
    Popular { category: String },
    /// Trending in the whole shop.
    Trending,
    /// Meets a wish of the request.
    Asked { slot: String, value: String },
    /// Matches a stated preference of the member.
    Liked { slot: String, value: String },
    /// Its text is similar to the request.
    LikeRequest,
    /// Its text is similar to those of the member's products.
    LikeHistory,
}

/// Share of the similarity to the request in the content score; the rest is the similarity to the member's products.
const REQUEST_SHARE: f64 = 0.7;
/// Shares of the intent score: wishes met, rank in the search, and the member's preferences.
const FIT_SHARE: f64 = 0.7;
const SEARCH_SHARE: f64 = 0.15;
const TASTE_SHARE: f64 = 0.15;

/// Ranks at most `limit` items for a request, or without one a member's own list, which leaves out products they
/// bought.
#[must_use]
pub fn rank(input: &RankingInput, request: Option<&Request>, weights: Weights, limit: usize) -> Ranking {
    let basis = if input.known.history.is_empty() { Basis::ColdStart } else { Basis::History };
    // Without a request and a history there is only popularity to rank by.
    let is_shifted = request.is_some() || basis == Basis::History;
    let weights = if is_shifted { weights.shifted(input.known.history.len()) } else { weights };
    let collaborative = scores(&input.known);
    let search_ranks: BTreeMap<&str, usize> =
        input.found.iter().enumerate().map(|(rank, product_id)| (product_id.as_str(), rank)).collect();
    let empty_request = Request::default();
    let effective_request = request.unwrap_or(&empty_request);
    let of_requested_kind = of_requested_kind(effective_request, &input.candidates);
    let allowed = of_requested_kind.into_iter().filter(|(product_id, candidate)| {
        constraints::allows(effective_request, candidate) && (request.is_some() || !input.bought.contains(*product_id))
    });
    let allowed: Vec<(&str, &Candidate)> =
        allowed.map(|(product_id, candidate)| (product_id.as_str(), candidate)).collect();
    let content = contents(&allowed, &input.candidates, request.is_some());
    let mut items: Vec<(RankedItem, &Candidate)> = allowed
        .into_iter()
        .zip(content)
        .map(|((product_id, candidate), content)| {
            let search_rank = search_ranks.get(product_id).copied();
            let intent = Intent::new(input, request, (product_id, candidate), search_rank);
            (item(product_id, candidate, weights, content, collaborative.get(product_id), &intent), candidate)
        })
        .filter(|(item, _)| item.score > 0.0)
        .collect();
    items.sort_by(|(left, _), (right, _)| {
        by_score_then_id((left.score, &left.product_id), (right.score, &right.product_id))
    });
    let scores: Vec<f64> = items.iter().map(|(item, _)| item.score).collect();
    let words: Vec<&[String]> = items.iter().map(|(_, candidate)| &*candidate.words).collect();
    let order = diversity::order(&scores, &words, limit);
    let unmet =
        unmet_wishes(effective_request, items.iter().map(|(_, candidate)| *candidate)).into_iter().cloned().collect();
    Ranking { basis, weights, items: order.into_iter().map(|index| items[index].0.clone()).collect(), unmet }
}

/// Candidates of the requested product kinds, and all candidates if the shop has none of these kinds. Products that are
/// too expensive or sold out count: nothing of another kind replaces them.
fn of_requested_kind<'a>(
    request: &Request,
    candidates: &'a BTreeMap<String, Candidate>,
) -> Vec<(&'a String, &'a Candidate)> {
    let kinds: Vec<_> = request.wishes.iter().filter(|wish| wish.wanted && wish.names_kind()).collect();
    let is_of_kind = |candidate: &Candidate| kinds.iter().any(|wish| candidate.is(&wish.slot, &wish.value));
    let matching: Vec<_> = candidates
        .iter()
        .filter(|(product_id, candidate)| {
            is_of_kind(candidate) || request.like.iter().any(|like| **like == **product_id)
        })
        .collect();
    if matching.iter().any(|(_, candidate)| is_of_kind(candidate)) { matching } else { candidates.iter().collect() }
}

/// Content scores, 0 to 1: similarity to the request, which counts more, and to the member's profile.
fn contents(
    allowed: &[(&str, &Candidate)],
    candidates: &BTreeMap<String, Candidate>,
    has_request: bool,
) -> Vec<(f64, Option<Evidence>)> {
    let cosine_range = |cosine: fn(&Candidate) -> Option<f64>| {
        let farthest = candidates.values().filter_map(cosine).fold(f64::INFINITY, f64::min);
        CosineRange { farthest, nearest: largest(allowed.iter().filter_map(|(_, candidate)| cosine(candidate))) }
    };
    let to_request = cosine_range(|candidate| candidate.like_request);
    let to_profile = cosine_range(|candidate| candidate.like_profile);
    let score = |(_, candidate): &(&str, &Candidate)| {
        let like_request = candidate.like_request.map(|cosine| to_request.scale(cosine));
        let like_profile = candidate.like_profile.map(|cosine| to_profile.scale(cosine));
        match (like_request, like_profile) {
            (Some(request), Some(profile)) if has_request => {
                (REQUEST_SHARE * request + (1.0 - REQUEST_SHARE) * profile, Some(Evidence::LikeRequest))
            }
            (Some(request), _) => (request, Some(Evidence::LikeRequest)),
            (None, Some(profile)) => (profile, Some(Evidence::LikeHistory)),
            (None, None) => (0.0, None),
        }
    };
    allowed.iter().map(score).collect()
}

/// Range of a list's cosines, since models differ: unrelated texts have a cosine of 0 with one and of 0.75 with
/// another.
struct CosineRange {
    /// Least cosine of all candidates.
    farthest: f64,
    /// Largest cosine of the allowed candidates.
    nearest: f64,
}

impl CosineRange {
    /// Scales a cosine to 0 for the farthest and 1 for the nearest.
    fn scale(&self, cosine: f64) -> f64 {
        let range = self.nearest - self.farthest;
        if range > 0.0 { (cosine - self.farthest) / range } else { 1.0 }
    }
}

/// A product's intent score with its evidence.
struct Intent<'a> {
    score: f64,
    met_wishes: Vec<&'a Wish>,
    liked: Vec<&'a Statement>,
}

impl<'a> Intent<'a> {
    fn new(
        input: &'a RankingInput,
        request: Option<&'a Request>,
        (product_id, candidate): (&str, &Candidate),
        search_rank: Option<usize>,
    ) -> Self {
        let (taste, statements) = taste(&input.taste, candidate);
        // A wish of the request counts as requested, not as liked.
        let is_requested = |statement: &Statement| {
            let wishes = request.iter().flat_map(|request| &request.wishes);
            wishes.into_iter().any(|wish| *wish.slot == *statement.slot && *wish.value == *statement.value)
        };
        let liked = statements.into_iter().filter(|statement| statement.wanted && !is_requested(statement)).collect();
        let is_like = request.is_some_and(|request| request.like.iter().any(|like| **like == *product_id));
        let Some(request) = request else { return Self { score: taste.max(0.0), met_wishes: Vec::new(), liked } };
        if is_like {
            return Self { score: 1.0, met_wishes: Vec::new(), liked };
        }
        let (fit, met_wishes) = fit(request, candidate);
        let search =
            search_rank.map_or(0.0, |rank| 1.0 / (1.0 + f64::from(u32::try_from(rank).unwrap_or(u32::MAX)) / 10.0));
        let has_wish = request.wishes.iter().any(|wish| wish.wanted);
        // Without a wish there is only the search to score by.
        let score = if has_wish { FIT_SHARE * fit + SEARCH_SHARE * search } else { search };
        Self { score: (score + TASTE_SHARE * taste).clamp(0.0, 1.0), met_wishes, liked }
    }
}

fn item(
    product_id: &str,
    candidate: &Candidate,
    weights: Weights,
    (content, like): (f64, Option<Evidence>),
    result: Option<&Collaborative>,
    intent: &Intent<'_>,
) -> RankedItem {
    let collaborative = result.map_or(0.0, |result| result.score);
    let mut causes = Vec::new();
    if let Some(event_id) = candidate.vector_event.clone().filter(|_| content > 0.0) {
        causes.push((SubScore::Content, SourceEvent { event_id, product_id: None }));
    }
    let co_purchases = result.into_iter().flat_map(|result| &result.causes);
    causes.extend(co_purchases.map(|cause| (SubScore::Collaborative, cause.clone())));
    let statements = intent.liked.iter().filter_map(|statement| statement.evidence.first());
    let cause = |event_id: &String| SourceEvent { event_id: event_id.clone(), product_id: None };
    causes.extend(statements.map(|event| (SubScore::Intent, cause(&event.event_id))));

    let requested = intent.met_wishes.iter();
    let requested =
        requested.map(|wish| Evidence::Asked { slot: wish.slot.to_string(), value: wish.value.to_string() });
    let liked = intent.liked.iter();
    let liked = liked.map(|one| Evidence::Liked { slot: one.slot.clone(), value: one.value.clone() });
    let mut kinds = [
        (weights.intent * intent.score, requested.chain(liked).collect::<Vec<_>>()),
        (weights.collaborative * collaborative, result.map(|result| result.evidence.clone()).unwrap_or_default()),
        (weights.content * content, like.into_iter().collect()),
    ];
    // A stable sort: on equal contributions requested values come first.
    kinds.sort_by(|left, right| right.0.total_cmp(&left.0));
    RankedItem {
        product_id: product_id.to_owned(),
        score: weights.intent * intent.score + weights.collaborative * collaborative + weights.content * content,
        content,
        collaborative,
        intent: intent.score,
        sources: kinds.into_iter().flat_map(|(_, evidence)| evidence).collect(),
        causes,
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Currency, PriceRange, Text};

    use super::*;
    use crate::candidate::Product;
    use crate::collaborative::{HistoryProduct, Scored};

    fn candidate(title: &str, price: i64, like_request: f64) -> Candidate {
        let price = Some((price, "GBP".to_owned()));
        let product = Product { title: title.to_owned(), price, ..Product::default() };
        Candidate { like_request: Some(like_request), vector_event: Some("v".to_owned()), ..Candidate::new(product) }
    }

    fn wish(slot: &str, value: &str, wanted: bool) -> Wish {
        Wish { slot: Text::new(slot).unwrap(), value: Text::new(value).unwrap(), wanted }
    }

    /// A shop of bags and a lamp, and a member who bought the red bag.
    fn shop() -> RankingInput {
        let history = vec![HistoryProduct {
            product_id: "red".to_owned(),
            weight: 5.0,
            orders: 1,
            event_id: Some("order-1".to_owned()),
        }];
        let neighbour = Scored { product_id: "blue".to_owned(), score: 0.5 };
        RankingInput {
            known: CollaborativeInput {
                history,
                neighbours: [("red".to_owned(), vec![neighbour])].into(),
                trending: vec![Scored { product_id: "lamp".to_owned(), score: 3.0 }],
                ..CollaborativeInput::default()
            },
            bought: ["red".to_owned()].into(),
            candidates: [
                ("red".to_owned(), candidate("RED LUNCH BAG", 165, 0.9)),
                ("blue".to_owned(), candidate("BLUE LUNCH BAG", 400, 0.8)),
                ("lamp".to_owned(), candidate("LAMP", 100, 0.1)),
            ]
            .into(),
            ..RankingInput::default()
        }
    }

    fn ids(ranking: &Ranking) -> Vec<&str> {
        ranking.items.iter().map(|item| item.product_id.as_str()).collect()
    }

    fn request(wishes: Vec<Wish>, max_minor: Option<i64>) -> Request {
        let currency = Currency::new("GBP").unwrap();
        let price = max_minor.map(|max| PriceRange { min_minor: None, max_minor: Some(max), currency });
        Request { wishes, price, ..Request::default() }
    }

    #[test]
    fn a_members_own_list_leaves_out_bought_products_and_names_causing_events() {
        let ranking = rank(&shop(), None, Weights::default(), 10);
        assert_eq!(ranking.basis, Basis::History);
        assert_eq!(ids(&ranking), ["blue", "lamp"]);
        let cause = SourceEvent { event_id: "order-1".to_owned(), product_id: Some("red".to_owned()) };
        assert!(ranking.items[0].causes.contains(&(SubScore::Collaborative, cause)));
    }

    #[test]
    fn a_new_member_gets_trending_products() {
        let candidates = [("blue".to_owned(), Candidate::new(Product::default()))].into();
        let trending = vec![Scored { product_id: "blue".to_owned(), score: 1.0 }];
        let collaborative = CollaborativeInput { trending, ..CollaborativeInput::default() };
        let input = RankingInput { known: collaborative, candidates, ..RankingInput::default() };
        let ranking = rank(&input, None, Weights::default(), 10);
        assert_eq!((ranking.basis, ids(&ranking)), (Basis::ColdStart, vec!["blue"]));
    }

    #[test]
    fn requested_values_come_first_and_other_kinds_are_left_out() {
        let request = request(vec![wish("product", "lunch bag", true), wish("color", "red", true)], None);
        let ranking = rank(&shop(), Some(&request), Weights::default(), 10);
        assert_eq!(ids(&ranking), ["red", "blue"]);
        let red = Evidence::Asked { slot: "color".to_owned(), value: "red".to_owned() };
        assert!(ranking.items[0].sources.contains(&red));
    }

    #[test]
    fn a_kind_that_the_shop_does_not_have_filters_nothing() {
        let request = request(vec![wish("product", "laptop", true)], None);
        assert_eq!(rank(&shop(), Some(&request), Weights::default(), 10).items.len(), 3);
    }

    #[test]
    fn constraints_hold_however_well_a_product_scores() {
        let cheap = request(vec![wish("product", "lunch bag", true)], Some(300));
        assert_eq!(ids(&rank(&shop(), Some(&cheap), Weights::default(), 10)), ["red"]);
        let too_cheap = request(vec![wish("product", "lunch bag", true)], Some(100));
        assert_eq!(rank(&shop(), Some(&too_cheap), Weights::default(), 10).items, [], "not a lamp instead");
        let not_red = request(vec![wish("product", "lunch bag", true), wish("color", "red", false)], None);
        assert_eq!(ids(&rank(&shop(), Some(&not_red), Weights::default(), 10)), ["blue"]);
        let nothing = request(vec![wish("product", "bag", false), wish("product", "lamp", false)], None);
        assert_eq!(rank(&shop(), Some(&nothing), Weights::default(), 10).items, []);
    }

    /// One model has unrelated texts at a cosine of 0, another at 0.75.
    #[test]
    fn the_range_of_a_models_cosines_does_not_matter() {
        let ranked = |narrowed: fn(f64) -> f64| {
            let mut shop = shop();
            for candidate in shop.candidates.values_mut() {
                candidate.like_request = candidate.like_request.map(narrowed);
            }
            let items = rank(&shop, Some(&Request::default()), Weights::default(), 10).items;
            items.into_iter().map(|item| (item.product_id, (item.content * 1e9).round())).collect::<Vec<_>>()
        };
        let wide = ranked(|cosine| cosine);
        assert_eq!(wide, ranked(|cosine| 0.75 + cosine / 5.0));
        assert!(wide.iter().any(|(_, content)| *content < 1.0) && wide.iter().any(|(_, content)| *content > 0.9e9));
    }

    #[test]
    fn every_score_is_the_weighted_sum_of_its_parts() {
        let request = request(vec![wish("product", "lunch bag", true)], None);
        let ranking = rank(&shop(), Some(&request), Weights::default(), 10);
        for RankedItem { score, content, collaborative, intent, .. } in &ranking.items {
            let Weights { content: a, collaborative: b, intent: c } = ranking.weights;
            assert!((score - (a * content + b * collaborative + c * intent)).abs() < 1e-12);
            assert!([content, collaborative, intent].iter().all(|part| (0.0..=1.0).contains(*part)));
        }
    }
}
