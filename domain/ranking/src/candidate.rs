//! Products that may be recommended, and their match with a value of a slot.

use std::collections::BTreeMap;
use std::sync::Arc;

use jangbogo_lexicon::Slot;

/// Catalogue data of a product.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Product {
    /// Title shown to shoppers.
    pub title: String,
    /// Description and the values of further attributes.
    pub text: String,
    /// Slug of the category.
    pub category: Option<String>,
    pub brand: Option<String>,
    /// Price of one unit in minor units, and the ISO 4217 currency.
    pub price: Option<(i64, String)>,
    /// Units in stock; none when they are not counted.
    pub stock: Option<i64>,
    /// Canonical values by slot.
    pub facets: BTreeMap<String, Vec<String>>,
}

/// A product on sale with its similarities.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    pub product: Arc<Product>,
    /// Normalised words of the title.
    pub words: Arc<[String]>,
    /// Cosine of the vectors of product and request; none without both.
    pub like_request: Option<f64>,
    /// Cosine of the vectors of product and member profile; none without both.
    pub like_profile: Option<f64>,
    /// Event that the vector comes from.
    pub vector_event: Option<String>,
}

impl Candidate {
    /// A candidate without similarities.
    #[must_use]
    pub fn new(product: Product) -> Self {
        Self { words: normalised_words(&product.title).into(), product: product.into(), ..Self::default() }
    }

    /// True if the value of the slot describes the product.
    pub(crate) fn is(&self, slot: &str, value: &str) -> bool {
        match slot {
            "product" => names(&self.words, value),
            "category" => self.product.category.as_deref().is_some_and(|category| is_category(category, value)),
            "brand" => {
                self.product.brand.as_deref().is_some_and(|brand| brand.eq_ignore_ascii_case(value))
                    || names(&self.words, value)
            }
            _ => {
                let has = |values: &Vec<String>| values.iter().any(|other| other == value);
                self.product.facets.get(slot).is_some_and(has) || names(&self.words, value)
            }
        }
    }

    /// True if anything in the product's text names the value: for exclusions. Facets alone are not enough, since they
    /// ignore the description for a slot that the title has a value for (felt, with a wooden handle).
    pub(crate) fn mentions(&self, slot: &str, value: &str) -> bool {
        let text = &self.product.text;
        let describes = |slot: Slot| jangbogo_lexicon::facets(text, None, []).get(slot).contains(value);
        self.is(slot, value)
            || (slot != "category" && names(&normalised_words(text), value))
            || Slot::from_name(slot).is_some_and(describes)
    }
}

/// True for the slug itself and for any of its words: `picnic` names `lunch-and-picnic`.
fn is_category(category: &str, value: &str) -> bool {
    category == value || names(&normalised_words(&category.replace('-', " ")), &value.replace('-', " "))
}

/// True if all words of a value are among `words`.
fn names(words: &[String], value: &str) -> bool {
    let value = normalised_words(value);
    !value.is_empty() && value.iter().all(|word| words.contains(word))
}

/// Words of a text in lower case and, by common English endings, in the singular.
pub(crate) fn normalised_words(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| singular(&word.to_lowercase())).collect()
}

fn singular(word: &str) -> String {
    if word.len() < 4 || !word.is_ascii() {
        return word.to_owned();
    }
    if let Some(stem) = word.strip_suffix("ies") {
        return format!("{stem}y");
    }
    if ["sses", "shes", "ches", "xes", "zes"].iter().any(|ending| word.ends_with(ending)) {
        return word[..word.len() - 2].to_owned();
    }
    match word.strip_suffix('s') {
        Some(stem) if !stem.ends_with('s') => stem.to_owned(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag() -> Candidate {
        Candidate::new(Product {
            title: "LUNCH BAGS RED RETROSPOT".to_owned(),
            text: "with a plastic lining".to_owned(),
            category: Some("lunch-and-picnic".to_owned()),
            brand: Some("Acme".to_owned()),
            facets: [("color".to_owned(), vec!["red".to_owned()])].into(),
            ..Product::default()
        })
    }

    #[test]
    fn title_category_brand_and_facets_match_values() {
        let bag = bag();
        for (slot, value) in [
            ("product", "lunch bag"),
            ("category", "lunch-and-picnic"),
            ("category", "picnic"),
            ("brand", "acme"),
            ("color", "red"),
            ("pattern", "retrospot"),
        ] {
            assert!(bag.is(slot, value), "{slot} {value}");
        }
        for (slot, value) in
            [("product", "lunch box"), ("category", "bags"), ("color", "blue"), ("material", "plastic")]
        {
            assert!(!bag.is(slot, value), "{slot} {value}");
        }
    }

    #[test]
    fn exclusions_are_looked_for_in_the_whole_text() {
        assert!(bag().mentions("material", "plastic"));
        let felt = Product { text: "felt, with a wooden handle and a zinc lid".to_owned(), ..Product::default() };
        for material in ["wood", "metal"] {
            assert!(Candidate::new(felt.clone()).mentions("material", material), "{material}");
        }
        assert!(!bag().mentions("material", "wood"));
    }

    #[test]
    fn words_are_compared_in_the_singular() {
        assert_eq!(normalised_words("Dresses, boxes & T-LIGHTS glass"), ["dress", "box", "t", "light", "glass"]);
    }
}
