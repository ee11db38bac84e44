//! The intent score: the fit of a product with the request and with the member's preferences.

use jangbogo_events::{Request, Wish};
use serde::Deserialize;

use crate::candidate::Candidate;

/// A member's preferences, as the view of preferences returns them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Taste {
    #[serde(default)]
    pub(crate) stated: Vec<Statement>,
    /// Implicit preferences from views and orders.
    #[serde(default)]
    pub(crate) implied: Vec<Implication>,
}

/// A stated preference of a member.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Statement {
    pub slot: String,
    pub value: String,
    /// True for a like, false for a dislike.
    pub wanted: bool,
    /// Weight after time decay; positive.
    pub weight: f64,
    /// Events of the statement.
    #[serde(default)]
    pub evidence: Vec<StatementEvent>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StatementEvent {
    pub event_id: String,
}

/// A preference that a member's events imply.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Implication {
    pub slot: String,
    pub value: String,
    /// Share of the member's events: 0 to 1.
    pub share: f64,
}

/// Weight of a wish among the wishes of a request.
fn weight(wish: &Wish) -> f64 {
    match &*wish.slot {
        "product" => 4.0,
        "category" => 3.0,
        "color" | "material" | "brand" => 2.0,
        _ => 1.0,
    }
}

/// Weighted share of the wishes that a product meets, 0 to 1, and these wishes.
pub(crate) fn fit<'a>(request: &'a Request, candidate: &Candidate) -> (f64, Vec<&'a Wish>) {
    let wishes: Vec<&Wish> = request.wishes.iter().filter(|wish| wish.wanted).collect();
    let total: f64 = wishes.iter().map(|wish| weight(wish)).sum();
    let met: Vec<&Wish> = wishes.into_iter().filter(|wish| candidate.is(&wish.slot, &wish.value)).collect();
    if total <= 0.0 {
        return (0.0, met);
    }
    (met.iter().map(|wish| weight(wish)).sum::<f64>() / total, met)
}

/// Unmet constraints: the wishes that the best-matching product does not meet. Empty if one product meets all of them.
pub(crate) fn unmet_wishes<'a>(request: &'a Request, candidates: impl Iterator<Item = &'a Candidate>) -> Vec<&'a Wish> {
    let total = |wishes: &[&Wish]| wishes.iter().map(|wish| weight(wish)).sum::<f64>();
    let mut nearest: Option<Vec<&Wish>> = None;
    for candidate in candidates {
        let unmet = unmet_by(request, candidate);
        if unmet.is_empty() {
            return unmet;
        }
        if nearest.as_ref().is_none_or(|nearest| total(&unmet) < total(nearest)) {
            nearest = Some(unmet);
        }
    }
    nearest.unwrap_or_default()
}

/// Wishes that a product does not meet. Wishes of one slot are alternatives, and so are product kinds and categories.
fn unmet_by<'a>(request: &'a Request, candidate: &Candidate) -> Vec<&'a Wish> {
    let slot = |wish: &'a Wish| if wish.names_kind() { "product" } else { &*wish.slot };
    let wishes = || request.wishes.iter().filter(|wish| wish.wanted);
    let met: Vec<&str> = wishes().filter(|wish| candidate.is(&wish.slot, &wish.value)).map(slot).collect();
    wishes().filter(|wish| !met.contains(&slot(wish))).collect()
}

/// Fit of a product with a member's preferences, -1 to 1, and the statements that match it.
pub(crate) fn taste<'a>(taste: &'a Taste, candidate: &Candidate) -> (f64, Vec<&'a Statement>) {
    let total: f64 = taste.stated.iter().map(|statement| statement.weight).sum();
    let met: Vec<&Statement> =
        taste.stated.iter().filter(|statement| candidate.is(&statement.slot, &statement.value)).collect();
    let stated: f64 =
        met.iter().map(|statement| if statement.wanted { statement.weight } else { -statement.weight }).sum();
    let stated = if total > 0.0 { stated / total } else { 0.0 };
    let met_implications = taste.implied.iter().filter(|implied| candidate.is(&implied.slot, &implied.value));
    let implied = met_implications.map(|implied| implied.share).fold(0.0, f64::max);
    let score = if taste.stated.is_empty() { implied } else { 0.6 * stated + 0.4 * implied };
    (score.clamp(-1.0, 1.0), met)
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Text;

    use super::*;
    use crate::candidate::Product;

    fn bag() -> Candidate {
        Candidate::new(Product { title: "RED LUNCH BAG".to_owned(), ..Product::default() })
    }

    fn wish(slot: &str, value: &str, wanted: bool) -> Wish {
        Wish { slot: Text::new(slot).unwrap(), value: Text::new(value).unwrap(), wanted }
    }

    fn statement(value: &str, wanted: bool, weight: f64) -> Statement {
        Statement { slot: "color".to_owned(), value: value.to_owned(), wanted, weight, evidence: Vec::new() }
    }

    #[test]
    fn the_product_kind_counts_most() {
        let wishes = vec![wish("product", "lunch bag", true), wish("color", "blue", true), wish("color", "red", false)];
        let request = Request { wishes, ..Request::default() };
        let (score, met) = fit(&request, &bag());
        assert!((score - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(met.len(), 1);
        assert!(fit(&Request::default(), &bag()).0.abs() < 1e-12);
    }

    #[test]
    fn wishes_are_unmet_if_no_product_meets_all() {
        let blue = Candidate::new(Product { title: "BLUE LUNCH BOX".to_owned(), ..Product::default() });
        let bags = [bag(), blue];
        let unmet = |wishes: &[(&str, &str)]| {
            let wishes = wishes.iter().map(|(slot, value)| wish(slot, value, true)).collect();
            let request = Request { wishes, ..Request::default() };
            unmet_wishes(&request, bags.iter()).into_iter().map(|wish| wish.value.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(unmet(&[("product", "lunch bag"), ("color", "red")]), [""; 0]);
        assert_eq!(unmet(&[("product", "lunch bag"), ("color", "blue")]), ["blue"], "the kind counts more");
        assert_eq!(unmet(&[("color", "blue"), ("color", "green")]), [""; 0], "alternatives");
        assert_eq!(unmet(&[("product", "lamp"), ("category", "lunch"), ("material", "zinc")]).len(), 3);
        assert_eq!(unmet(&[]), [""; 0]);
    }

    #[test]
    fn a_dislike_lowers_the_score() {
        let likes =
            Taste { stated: vec![statement("red", true, 3.0), statement("blue", true, 1.0)], implied: Vec::new() };
        assert!((taste(&likes, &bag()).0 - 0.6 * 0.75).abs() < 1e-12);
        let dislikes = Taste { stated: vec![statement("red", false, 1.0)], implied: Vec::new() };
        assert!((taste(&dislikes, &bag()).0 + 0.6).abs() < 1e-12);
    }
}
