//! The intent score: how well a product fits what was asked for and what the member said they like.

use jangbogo_events::{Request, Wish};
use serde::Deserialize;

use crate::candidate::Candidate;

/// A member's taste, as the preferences view returns it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Taste {
    /// Explicit preferences.
    #[serde(default)]
    pub stated: Vec<Statement>,
    /// Implicit preferences, from views and orders.
    #[serde(default)]
    pub implied: Vec<Implication>,
}

/// Something a member said they like, or do not.
#[derive(Clone, Debug, Deserialize)]
pub struct Statement {
    pub slot: String,
    pub value: String,
    /// True for a like, false for a dislike.
    pub wanted: bool,
    /// Weight after time decay; positive.
    pub weight: f64,
    /// Where it was said.
    #[serde(default)]
    pub evidence: Vec<Said>,
}

/// The event of a statement.
#[derive(Clone, Debug, Deserialize)]
pub struct Said {
    pub event_id: String,
}

/// Something that a member's acts imply.
#[derive(Clone, Debug, Deserialize)]
pub struct Implication {
    pub slot: String,
    pub value: String,
    /// The share of the member's acts: 0 to 1.
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

/// What a product has of what was asked for, and the share of it: 0 to 1.
pub fn fit<'a>(request: &'a Request, candidate: &Candidate) -> (f64, Vec<&'a Wish>) {
    let wanted: Vec<&Wish> = request.wishes.iter().filter(|wish| wish.wanted).collect();
    let total: f64 = wanted.iter().map(|wish| weight(wish)).sum();
    let met: Vec<&Wish> = wanted.into_iter().filter(|wish| candidate.is(&wish.slot, &wish.value)).collect();
    if total <= 0.0 {
        return (0.0, met);
    }
    (met.iter().map(|wish| weight(wish)).sum::<f64>() / total, met)
}

/// What the product that comes nearest does not have of what was asked for; nothing where one has all of it.
pub fn lacking<'a>(request: &'a Request, candidates: impl Iterator<Item = &'a Candidate>) -> Vec<&'a Wish> {
    let total = |wishes: &[&Wish]| wishes.iter().map(|wish| weight(wish)).sum::<f64>();
    let mut nearest: Option<Vec<&Wish>> = None;
    for candidate in candidates {
        let lacks = lacks(request, candidate);
        if lacks.is_empty() {
            return lacks;
        }
        if nearest.as_ref().is_none_or(|nearest| total(&lacks) < total(nearest)) {
            nearest = Some(lacks);
        }
    }
    nearest.unwrap_or_default()
}

/// Wishes of one slot are alternatives, and so are kinds of things.
fn lacks<'a>(request: &'a Request, candidate: &Candidate) -> Vec<&'a Wish> {
    let slot = |wish: &'a Wish| if names_kind(wish) { "product" } else { &*wish.slot };
    let wanted = || request.wishes.iter().filter(|wish| wish.wanted);
    let met: Vec<&str> = wanted().filter(|wish| candidate.is(&wish.slot, &wish.value)).map(slot).collect();
    wanted().filter(|wish| !met.contains(&slot(wish))).collect()
}

/// True if a wish names the product kind rather than an attribute.
pub fn names_kind(wish: &Wish) -> bool {
    matches!(&*wish.slot, "product" | "category")
}

/// How well a product fits a member's taste: -1 to 1, and the statements that say so.
pub fn taste<'a>(taste: &'a Taste, candidate: &Candidate) -> (f64, Vec<&'a Statement>) {
    let total: f64 = taste.stated.iter().map(|statement| statement.weight).sum();
    let met: Vec<&Statement> =
        taste.stated.iter().filter(|statement| candidate.is(&statement.slot, &statement.value)).collect();
    let said: f64 =
        met.iter().map(|statement| if statement.wanted { statement.weight } else { -statement.weight }).sum();
    let said = if total > 0.0 { said / total } else { 0.0 };
    let met_implications = taste.implied.iter().filter(|implied| candidate.is(&implied.slot, &implied.value));
    let implied = met_implications.map(|implied| implied.share).fold(0.0, f64::max);
    let score = if taste.stated.is_empty() { implied } else { 0.6 * said + 0.4 * implied };
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
    fn the_kind_of_thing_counts_most() {
        let wishes = vec![wish("product", "lunch bag", true), wish("color", "blue", true), wish("color", "red", false)];
        let request = Request { wishes, ..Request::default() };
        let (score, met) = fit(&request, &bag());
        assert!((score - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(met.len(), 1);
        assert!(fit(&Request::default(), &bag()).0.abs() < 1e-12);
    }

    #[test]
    fn something_is_lacking_where_no_product_has_all_of_it() {
        let blue = Candidate::new(Product { title: "BLUE LUNCH BOX".to_owned(), ..Product::default() });
        let bags = [bag(), blue];
        let lacking = |wishes: &[(&str, &str)]| {
            let wishes = wishes.iter().map(|(slot, value)| wish(slot, value, true)).collect();
            let request = Request { wishes, ..Request::default() };
            lacking(&request, bags.iter()).into_iter().map(|wish| wish.value.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(lacking(&[("product", "lunch bag"), ("color", "red")]), [""; 0]);
        assert_eq!(lacking(&[("product", "lunch bag"), ("color", "blue")]), ["blue"], "the kind counts more");
        assert_eq!(lacking(&[("color", "blue"), ("color", "green")]), [""; 0], "alternatives");
        assert_eq!(lacking(&[("product", "lamp"), ("category", "lunch"), ("material", "zinc")]).len(), 3);
        assert_eq!(lacking(&[]), [""; 0]);
    }

    #[test]
    fn a_dislike_pulls_down() {
        let likes =
            Taste { stated: vec![statement("red", true, 3.0), statement("blue", true, 1.0)], implied: Vec::new() };
        assert!((taste(&likes, &bag()).0 - 0.6 * 0.75).abs() < 1e-12);
        let dislikes = Taste { stated: vec![statement("red", false, 1.0)], implied: Vec::new() };
        assert!((taste(&dislikes, &bag()).0 + 0.6).abs() < 1e-12);
    }
}
