//! Ranking: a pure function of what is known and what is asked.

use std::collections::{BTreeMap, BTreeSet};

use jangbogo_events::{Request, SubScore, Wish};
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::collaborative::{Collaborative, CollaborativeInput, by_score_then_id, largest, scores};
use crate::intent::{Statement, Taste, fit, lacking, names_kind, taste};
use crate::weights::Weights;
use crate::{constraints, diversity};

/// Everything a list is ranked from.
#[derive(Clone, Debug, Default)]
pub struct RankingInput {
    /// The member's products, their neighbours, and what is popular.
    pub known: CollaborativeInput,
    /// Every product the member ever bought.
    pub bought: BTreeSet<String>,
    /// The member's preferences.
    pub taste: Taste,
    /// The products that may be recommended: on sale, by id.
    pub candidates: BTreeMap<String, Candidate>,
    /// Hits of the search for the request's words, the best first.
    pub found: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Basis of the list.
    pub basis: Basis,
    /// The weights by which it is ranked.
    pub weights: Weights,
    /// As they are shown.
    pub items: Vec<RankedItem>,
    /// Unmet constraints: requested, but not met by the best-matching product.
    pub lacking: Vec<Wish>,
}

/// Evidence that a list is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub product_id: String,
    /// The weighted sum of the sub-scores: above 0, at most 1.
    pub score: f64,
    /// The likeness of texts: 0 to 1.
    pub content: f64,
    /// Co-purchase score: 0 to 1.
    pub collaborative: f64,
    /// The fit with what is asked for, or with the member's taste: 0 to 1.
    pub intent: f64,
    /// Every kind of evidence, what counted most first.
    pub sources: Vec<Evidence>,
    /// The events each sub-score comes from.
    pub causes: Vec<(SubScore, SourceEvent)>,
}

/// An event that says something for a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEvent {
    pub event_id: String,
    /// The product it was about, if another one.
    pub product_id: Option<String>,
}

/// Evidence for a product in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Evidence {
    /// It is often bought together with a product of the member's history.
    Neighbour {
        /// The product of the history.
        product_id: String,
        /// True if the member bought that product, false if they only viewed it.
        bought: bool,
        /// Its share in this item's score by neighbours: above 0, at most 1.
        contribution: f64,
    },
    /// It is popular in one of the member's favourite categories.
    Popular { category: String },
    /// The whole shop looks at it.
    Trending,
    /// It has something that was asked for.
    Asked { slot: String, value: String },
    /// It has something that the member said they like.
    Liked { slot: String, value: String },
    /// Its text is like what was asked for.
    LikeRequest,
    /// Its text is like those of the member's products.
    LikeHistory,
}

/// How much of the content score is the likeness to what is asked for, rather than to the member's products.
const REQUEST_SHARE: f64 = 0.7;
/// How much of the intent score is the share of wishes met, how much the place among what the search found, and how much
/// the member's taste.
const FIT: f64 = 0.7;
const FOUND: f64 = 0.15;
const TASTE: f64 = 0.15;

/// Ranks a list of at most so many items: for a request, or without one a member's own list, without what they bought.
#[must_use]
pub fn rank(input: &RankingInput, request: Option<&Request>, weights: Weights, limit: usize) -> Ranking {
    let basis = if input.known.history.is_empty() { Basis::ColdStart } else { Basis::History };
    // Where nothing is asked and nothing known, what is popular is all that there is to rank by.
    let is_shifted = request.is_some() || basis == Basis::History;
    let weights = if is_shifted { weights.shifted(input.known.history.len()) } else { weights };
    let collaborative = scores(&input.known);
    let places: BTreeMap<&str, usize> =
        input.found.iter().enumerate().map(|(place, product_id)| (product_id.as_str(), place)).collect();
    let nothing_asked = Request::default();
    let asked = request.unwrap_or(&nothing_asked);
    let of_the_kind = of_the_kind(asked, &input.candidates);
    let allowed = of_the_kind.into_iter().filter(|(product_id, candidate)| {
        constraints::allows(asked, candidate) && (request.is_some() || !input.bought.contains(*product_id))
    });
    let allowed: Vec<(&str, &Candidate)> =
        allowed.map(|(product_id, candidate)| (product_id.as_str(), candidate)).collect();
    let content = contents(&allowed, &input.candidates, request.is_some());
    let mut items: Vec<(RankedItem, &Candidate)> = allowed
        .into_iter()
        .zip(content)
        .map(|((product_id, candidate), content)| {
            let place = places.get(product_id).copied();
            let by_intent = Intent::new(input, request, (product_id, candidate), place);
            (item(product_id, candidate, weights, content, collaborative.get(product_id), &by_intent), candidate)
        })
        .filter(|(item, _)| item.score > 0.0)
        .collect();
    items.sort_by(|(left, _), (right, _)| {
        by_score_then_id((left.score, &left.product_id), (right.score, &right.product_id))
    });
    let scores: Vec<f64> = items.iter().map(|(item, _)| item.score).collect();
    let words: Vec<&[String]> = items.iter().map(|(_, candidate)| &*candidate.words).collect();
    let order = diversity::order(&scores, &words, limit);
    let lacking = lacking(asked, items.iter().map(|(_, candidate)| *candidate)).into_iter().cloned().collect();
    Ranking { basis, weights, items: order.into_iter().map(|place| items[place].0.clone()).collect(), lacking }
}

/// Where the shop has the kind of thing that was asked for, nothing else is shown, be it too dear or sold out.
fn of_the_kind<'a>(request: &Request, candidates: &'a BTreeMap<String, Candidate>) -> Vec<(&'a String, &'a Candidate)> {
    let kinds: Vec<_> = request.wishes.iter().filter(|wish| wish.wanted && names_kind(wish)).collect();
    let is_one = |candidate: &Candidate| kinds.iter().any(|wish| candidate.is(&wish.slot, &wish.value));
    let named: Vec<_> = candidates
        .iter()
        .filter(|(product_id, candidate)| is_one(candidate) || request.like.iter().any(|like| **like == **product_id))
        .collect();
    if named.iter().any(|(_, candidate)| is_one(candidate)) { named } else { candidates.iter().collect() }
}

/// The content scores, 0 to 1: how near products are to the request, which counts more, and to the history.
fn contents(
    allowed: &[(&str, &Candidate)],
    candidates: &BTreeMap<String, Candidate>,
    is_asked: bool,
) -> Vec<(f64, Option<Evidence>)> {
    let likeness = |cosine: fn(&Candidate) -> Option<f64>| {
        let farthest = candidates.values().filter_map(cosine).fold(f64::INFINITY, f64::min);
        Likeness { farthest, nearest: largest(allowed.iter().filter_map(|(_, candidate)| cosine(candidate))) }
    };
    let to_request = likeness(|candidate| candidate.like_request);
    let to_profile = likeness(|candidate| candidate.like_profile);
    let score = |(_, candidate): &(&str, &Candidate)| {
        let like_request = candidate.like_request.map(|cosine| to_request.scale(cosine));
        let like_profile = candidate.like_profile.map(|cosine| to_profile.scale(cosine));
        match (like_request, like_profile) {
            (Some(request), Some(profile)) if is_asked => {
                (REQUEST_SHARE * request + (1.0 - REQUEST_SHARE) * profile, Some(Evidence::LikeRequest))
            }
            (Some(request), _) => (request, Some(Evidence::LikeRequest)),
            (None, Some(profile)) => (profile, Some(Evidence::LikeHistory)),
            (None, None) => (0.0, None),
        }
    };
    allowed.iter().map(score).collect()
}

/// Where a list's cosines lie: one model has unrelated texts at 0, another at 0.75.
struct Likeness {
    /// Of all candidates, be they left out.
    farthest: f64,
    /// Of those that may be shown.
    nearest: f64,
}

impl Likeness {
    /// From 0 for the farthest to 1 for the nearest.
    fn scale(&self, cosine: f64) -> f64 {
        let range = self.nearest - self.farthest;
        if range > 0.0 { (cosine - self.farthest) / range } else { 1.0 }
    }
}

/// A product's intent score, and why.
struct Intent<'a> {
    score: f64,
    asked: Vec<&'a jangbogo_events::Wish>,
    liked: Vec<&'a Statement>,
}

impl<'a> Intent<'a> {
    fn new(
        input: &'a RankingInput,
        request: Option<&'a Request>,
        (product_id, candidate): (&str, &Candidate),
        place: Option<usize>,
    ) -> Self {
        let (taste, statements) = taste(&input.taste, candidate);
        // What is asked for now is told as that.
        let is_asked = |statement: &Statement| {
            let wishes = request.iter().flat_map(|request| &request.wishes);
            wishes.into_iter().any(|wish| *wish.slot == *statement.slot && *wish.value == *statement.value)
        };
        let liked = statements.into_iter().filter(|statement| statement.wanted && !is_asked(statement)).collect();
        let is_like = request.is_some_and(|request| request.like.iter().any(|like| **like == *product_id));
        let Some(request) = request else { return Self { score: taste.max(0.0), asked: Vec::new(), liked } };
        if is_like {
            return Self { score: 1.0, asked: Vec::new(), liked };
        }
        let (fit, asked) = fit(request, candidate);
        let found = place.map_or(0.0, |place| 1.0 / (1.0 + f64::from(u32::try_from(place).unwrap_or(u32::MAX)) / 10.0));
        let wanted_nothing = !request.wishes.iter().any(|wish| wish.wanted);
        // Without a wish there is only what the search found.
        let score = if wanted_nothing { found } else { FIT * fit + FOUND * found };
        Self { score: (score + TASTE * taste).clamp(0.0, 1.0), asked, liked }
    }
}

fn item(
    product_id: &str,
    candidate: &Candidate,
    weights: Weights,
    (content, like): (f64, Option<Evidence>),
    collaborative: Option<&Collaborative>,
    intent: &Intent<'_>,
) -> RankedItem {
    let by_others = collaborative.map_or(0.0, |found| found.score);
    let mut causes = Vec::new();
    if let Some(event_id) = candidate.vector_event.clone().filter(|_| content > 0.0) {
        causes.push((SubScore::Content, SourceEvent { event_id, product_id: None }));
    }
    causes.extend(
        collaborative.into_iter().flat_map(|found| &found.causes).map(|cause| (SubScore::Collaborative, cause.clone())),
    );
    let said = intent.liked.iter().filter_map(|statement| statement.evidence.first());
    causes
        .extend(said.map(|said| (SubScore::Intent, SourceEvent { event_id: said.event_id.clone(), product_id: None })));

    let asked =
        intent.asked.iter().map(|wish| Evidence::Asked { slot: wish.slot.to_string(), value: wish.value.to_string() });
    let liked = intent.liked.iter().map(|said| Evidence::Liked { slot: said.slot.clone(), value: said.value.clone() });
    let mut kinds = [
        (weights.intent * intent.score, asked.chain(liked).collect::<Vec<_>>()),
        (weights.collaborative * by_others, collaborative.map(|found| found.evidence.clone()).unwrap_or_default()),
        (weights.content * content, like.into_iter().collect()),
    ];
    // A stable order: of what counts alike, what was asked for is told first.
    kinds.sort_by(|left, right| right.0.total_cmp(&left.0));
    RankedItem {
        product_id: product_id.to_owned(),
        score: weights.intent * intent.score + weights.collaborative * by_others + weights.content * content,
        content,
        collaborative: by_others,
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
    fn a_members_own_list_leaves_out_what_was_bought_and_names_the_act_it_comes_from() {
        let ranking = rank(&shop(), None, Weights::default(), 10);
        assert_eq!(ranking.basis, Basis::History);
        assert_eq!(ids(&ranking), ["blue", "lamp"]);
        let cause = SourceEvent { event_id: "order-1".to_owned(), product_id: Some("red".to_owned()) };
        assert!(ranking.items[0].causes.contains(&(SubScore::Collaborative, cause)));
    }

    #[test]
    fn who_is_new_is_shown_what_trends() {
        let candidates = [("blue".to_owned(), Candidate::new(Product::default()))].into();
        let trending = vec![Scored { product_id: "blue".to_owned(), score: 1.0 }];
        let known = CollaborativeInput { trending, ..CollaborativeInput::default() };
        let ranking =
            rank(&RankingInput { known, candidates, ..RankingInput::default() }, None, Weights::default(), 10);
        assert_eq!((ranking.basis, ids(&ranking)), (Basis::ColdStart, vec!["blue"]));
    }

    #[test]
    fn what_was_asked_for_comes_first_and_nothing_of_another_kind() {
        let asked = request(vec![wish("product", "lunch bag", true), wish("color", "red", true)], None);
        let ranking = rank(&shop(), Some(&asked), Weights::default(), 10);
        assert_eq!(ids(&ranking), ["red", "blue"]);
        let red = Evidence::Asked { slot: "color".to_owned(), value: "red".to_owned() };
        assert!(ranking.items[0].sources.contains(&red));
    }

    #[test]
    fn a_kind_of_thing_that_the_shop_does_not_have_leaves_the_rest() {
        let asked = request(vec![wish("product", "laptop", true)], None);
        assert_eq!(rank(&shop(), Some(&asked), Weights::default(), 10).items.len(), 3);
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
    fn it_does_not_matter_where_a_models_cosines_lie() {
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
        let asked = request(vec![wish("product", "lunch bag", true)], None);
        let ranking = rank(&shop(), Some(&asked), Weights::default(), 10);
        for RankedItem { score, content, collaborative, intent, .. } in &ranking.items {
            let Weights { content: a, collaborative: b, intent: c } = ranking.weights;
            assert!((score - (a * content + b * collaborative + c * intent)).abs() < 1e-12);
            assert!([content, collaborative, intent].iter().all(|part| (0.0..=1.0).contains(*part)));
        }
    }
}
