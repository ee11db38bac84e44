//! A product that may be recommended, and whether it is what somebody names.

use std::collections::BTreeMap;
use std::sync::Arc;

use jangbogo_lexicon::Slot;

/// A product as the catalogue has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Product {
    /// Title shown to shoppers.
    pub title: String,
    /// Longer text, attributes' values included.
    pub text: String,
    /// The category's slug.
    pub category: Option<String>,
    pub brand: Option<String>,
    /// The price of one, in the currency's minor unit, and the currency.
    pub price: Option<(i64, String)>,
    /// Units in stock; none when they are not counted.
    pub stock: Option<i64>,
    /// What it is by its text: canonical values by slot.
    pub facets: BTreeMap<String, Vec<String>>,
}

/// A product on sale, and how near it is.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    pub product: Arc<Product>,
    /// The words of its title, normalised.
    pub words: Arc<[String]>,
    /// The cosine of its vector and what is asked for; none without a vector.
    pub like_request: Option<f64>,
    /// The cosine of its vector and the member's profile.
    pub like_profile: Option<f64>,
    /// The event that its vector comes from.
    pub vector_event: Option<String>,
}

impl Candidate {
    /// A product with its title's words.
    #[must_use]
    pub fn new(product: Product) -> Self {
        Self { words: normalised_words(&product.title).into(), product: product.into(), ..Self::default() }
    }

    /// True if the value of the slot describes the product.
    #[must_use]
    pub fn is(&self, slot: &str, value: &str) -> bool {
        match slot {
            "product" => names(&self.words, value),
            "category" => self.product.category.as_deref().is_some_and(|category| is_category(category, value)),
            "brand" => {
                self.product.brand.as_deref().is_some_and(|brand| brand.eq_ignore_ascii_case(value))
                    || names(&self.words, value)
            }
            _ => {
                let has = |values: &Vec<String>| values.iter().any(|found| found == value);
                self.product.facets.get(slot).is_some_and(has) || names(&self.words, value)
            }
        }
    }

    /// Whether the product may be what a value names, by anything that is said of it: for what is to be left out. Its
    /// facets leave out a description where the title says something of the slot already (felt, with a wooden handle).
    #[must_use]
    pub fn mentions(&self, slot: &str, value: &str) -> bool {
        let text = &self.product.text;
        let told = |slot: Slot| jangbogo_lexicon::facets(text, None, []).get(slot).contains(value);
        self.is(slot, value)
            || (slot != "category" && names(&normalised_words(text), value))
            || Slot::from_name(slot).is_some_and(told)
    }
}

/// `lunch-and-picnic` is named by itself, and by any of its words.
fn is_category(category: &str, value: &str) -> bool {
    category == value || names(&normalised_words(&category.replace('-', " ")), &value.replace('-', " "))
}

/// True if all words of a value are among these.
fn names(words: &[String], value: &str) -> bool {
    let wanted = normalised_words(value);
    !wanted.is_empty() && wanted.iter().all(|word| words.contains(word))
}

/// A text's words in lower case and in the singular, as far as English endings tell.
#[must_use]
pub fn normalised_words(text: &str) -> Vec<String> {
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
    fn a_product_is_what_its_title_category_brand_and_facets_say() {
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
    fn what_is_to_be_left_out_is_looked_for_in_the_whole_text() {
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
