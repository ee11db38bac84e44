//! Vocabulary of a shop: the lexicon, and names learnt from the catalogue.

pub(crate) mod dictionary;
mod learn;

use std::collections::{BTreeSet, HashSet};

use jangbogo_events::{CategoryId, ProductUpserted};
use jangbogo_lexicon::{Phrases, Slot, key};

use self::dictionary::Dictionary;
use crate::cue;
use crate::span::Term;
use crate::text::spelling::Spelling;

/// Text of a product from which the vocabulary learns.
#[derive(Clone, Debug, Default)]
pub struct ProductText<'a> {
    pub product_id: &'a str,
    pub title: &'a str,
    pub description: Option<&'a str>,
    pub category: Option<&'a str>,
    pub brand: Option<&'a str>,
    /// Further attributes, by name.
    pub attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> From<&'a ProductUpserted> for ProductText<'a> {
    fn from(product: &'a ProductUpserted) -> Self {
        Self {
            product_id: product.product_id.as_str(),
            title: &product.title,
            description: product.description.as_deref(),
            category: product.category.as_ref().map(CategoryId::as_str),
            brand: product.brand.as_deref(),
            attributes: product.attributes.iter().map(|(name, value)| (&**name, &**value)).collect(),
        }
    }
}

/// Names known to the analyser. Immutable after learning.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    pub(crate) english: Phrases<Vec<Term>>,
    pub(crate) korean: Dictionary,
    /// English words that are not corrected.
    pub(crate) english_words: HashSet<String>,
    pub(crate) spelling: Spelling,
    pub(crate) korean_spelling: Spelling,
}

impl Vocabulary {
    /// Learns a catalogue: product kinds that titles agree on, categories, brands and attribute values.
    pub fn learn<'a>(products: impl IntoIterator<Item = ProductText<'a>>) -> Self {
        let mut vocabulary = Self::default();
        vocabulary.add_values();
        vocabulary.add_kinds();
        vocabulary.add_brands();
        let catalogue = learn::read(products, &vocabulary.english);
        vocabulary.add_narrow_names();
        vocabulary.add_categories(&catalogue.categories);
        for (phrase, weak) in catalogue.kinds {
            if !vocabulary.names_kind(&phrase) && !vocabulary.is_kind_with_quality(&phrase) {
                vocabulary.add_english(&phrase, Term { weak, ..Term::new("product", &phrase) });
            }
        }
        for brand in &catalogue.brands {
            let key = key(brand);
            let common = vocabulary.english.get(&key).is_some() || cue::FILLERS.contains(&key);
            if !common && cue::ENGLISH.get(&key).is_none() {
                vocabulary.add_english(brand, Term::new("brand", brand));
                vocabulary.korean.add(brand, Term::new("brand", brand));
            }
        }
        for (slot, value) in catalogue.values {
            if vocabulary.english.get(&key(&value)).is_none() {
                vocabulary.add_english(&value, Term::new(slot.name(), &value));
            }
        }
        vocabulary.finish(catalogue.words);
        vocabulary
    }

    fn names_kind(&self, phrase: &str) -> bool {
        self.english.get(phrase).is_some_and(|terms| terms.iter().any(Term::names_kind))
    }

    /// True for a product kind after its material or colour: a glass jar is a jar.
    fn is_kind_with_quality(&self, phrase: &str) -> bool {
        let quality = |terms: &Vec<Term>| terms.iter().any(|term| matches!(term.slot, "material" | "color"));
        phrase
            .split_once(' ')
            .is_some_and(|(first, kind)| self.english.get(first).is_some_and(quality) && self.names_kind(kind))
    }

    fn add_english(&mut self, phrase: &str, term: Term) {
        if let Some(terms) = self.english.entry(phrase)
            && !terms.iter().any(|other| other.slot == term.slot)
        {
            terms.push(term);
        }
    }

    fn add_values(&mut self) {
        for value in jangbogo_lexicon::values() {
            let term = Term::new(value.slot.name(), value.name);
            for form in jangbogo_lexicon::surface_forms(value) {
                self.add_english(form, term.clone());
            }
            for form in &value.korean {
                self.korean.add(form, term.clone());
            }
        }
    }

    /// Names that mean a value only in messages, or only without a better meaning: `silver` as a material, a `lavender`
    /// soap.
    fn add_narrow_names(&mut self) {
        for value in jangbogo_lexicon::values().iter().filter(|value| value.english.contains(&"-")) {
            self.add_english(value.name, Term::new(value.slot.name(), value.name));
        }
    }

    /// Brands that shoppers ask for, also those not in the catalogue.
    fn add_brands(&mut self) {
        for row in include_str!("../data/brands.tsv").lines().filter(|line| !line.starts_with('#')) {
            let (name, forms) = row.split_once('\t').unwrap_or((row, ""));
            for form in std::iter::once(name).chain(forms.split('|')) {
                self.add_english(form, Term::new("brand", name));
                self.korean.add(form, Term::new("brand", name));
            }
        }
    }

    /// English synonyms stay, since titles use them too, but spellings become the canonical one: a `lunchbox` is a
    /// lunch box, a `piggy bank` does not become a money box.
    fn add_kinds(&mut self) {
        for kind in jangbogo_lexicon::kinds() {
            self.add_english(kind.name, Term::new("product", kind.name));
            for form in &kind.spellings {
                self.add_english(form, Term::new("product", kind.name));
            }
            for form in &kind.english {
                self.add_english(form, Term::new("product", &key(form)));
            }
            for form in &kind.korean {
                self.korean.add(form, Term::new("product", kind.name));
            }
        }
    }

    /// A category is named by the words of its slug, by the areas in it in either language, and, if it is named after a
    /// product kind (`bags`), by the names of that kind: a request for a bag names the category.
    fn add_categories(&mut self, categories: &BTreeSet<String>) {
        for slug in categories {
            let term = Term::new("category", slug);
            let words = key(slug);
            // "Kitchen" often describes products of other categories.
            let area = jangbogo_lexicon::areas().iter().any(|area| key(area.name) == words);
            self.replace_english(&words, &Term { weak: area, ..term.clone() });
            let single = !words.split(' ').any(|word| word == "and");
            if let Some(kind) = jangbogo_lexicon::kinds().iter().find(|kind| single && key(kind.name) == words) {
                kind.forms().for_each(|form| self.replace_english(form, &term));
                kind.korean.iter().for_each(|form| self.korean.replace(form, &term));
            }
            for area in jangbogo_lexicon::areas().iter().filter(|area| contains_words(&words, &key(area.name))) {
                let is_a_kind = jangbogo_lexicon::kinds().iter().any(|kind| kind.name == area.name);
                if single && is_a_kind {
                    continue;
                }
                let term = Term { weak: !is_a_kind, ..term.clone() };
                for form in std::iter::once(&area.name).chain(&area.english) {
                    if is_a_kind { self.replace_english(form, &term) } else { self.add_english(form, term.clone()) }
                }
                for form in &area.korean {
                    if is_a_kind { self.korean.replace(form, &term) } else { self.korean.add(form, term.clone()) }
                }
            }
        }
    }

    fn replace_english(&mut self, phrase: &str, term: &Term) {
        if let Some(terms) = self.english.entry(phrase) {
            terms.retain(|other| !other.names_kind());
            terms.push(term.clone());
        }
    }

    fn finish(&mut self, titles: HashSet<String>) {
        let mut words: BTreeSet<String> = BTreeSet::new();
        for (phrase, _) in self.english.iter() {
            words.extend(phrase.split(' ').map(str::to_owned));
        }
        for word in &words {
            self.spelling.add(word);
        }
        self.english_words = titles;
        self.english_words.extend(words);
        self.english_words.extend(cue::ENGLISH.iter().flat_map(|(phrase, _)| phrase.split(' ').map(str::to_owned)));
        self.english_words.extend(cue::FILLERS.iter().cloned());
        // Similar to a name but not misspelt: a spanner is not a scanner.
        self.english_words.extend(include_str!("../data/words-en.txt").lines().map(key));
        let mut forms: Vec<&str> = self.korean.names().collect();
        forms.sort_unstable();
        for form in forms {
            self.korean_spelling.add(form);
        }
        self.korean.add_cues();
    }
}

/// True if `part` is a run of whole words of `words`.
fn contains_words(words: &str, part: &str) -> bool {
    format!(" {words} ").contains(&format!(" {part} "))
}

/// Facets of a product, by its attributes, that the lexicon does not know.
pub(crate) fn unknown_values(product: &ProductText<'_>) -> Vec<(Slot, String)> {
    let facets = jangbogo_lexicon::facets("", None, product.attributes.iter().copied());
    facets
        .iter()
        .filter(|(slot, value)| jangbogo_lexicon::value(*slot, value).is_none())
        .map(|(slot, value)| (slot, value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_adds_kinds_categories_brands_and_values() {
        let titles = ["GAZEBO LANTERN RED", "BLUE GAZEBO LANTERN", "GAZEBO LANTERN WITH BIRDS", "GREEN GAZEBO LANTERN"];
        let products = titles.iter().map(|title| ProductText {
            product_id: title,
            title,
            category: Some("lunch-and-picnic"),
            brand: Some("Emma Bridgewater"),
            attributes: vec![("color", "Sea Mist")],
            ..ProductText::default()
        });
        let vocabulary = Vocabulary::learn(products);
        let first_term = |phrase: &str| vocabulary.english.get(&key(phrase)).map(|terms| terms[0].clone());
        assert_eq!(first_term("gazebo lanterns").unwrap().value.as_ref(), "gazebo lantern");
        assert_eq!(first_term("lunch and picnic").unwrap(), Term::new("category", "lunch-and-picnic"));
        assert_eq!(first_term("picnic").unwrap().slot, "occasion");
        assert_eq!(first_term("emma bridgewater").unwrap().slot, "brand");
        assert_eq!(first_term("sea mist").unwrap(), Term::new("color", "sea mist"));
        assert_eq!(first_term("lunchbox").unwrap().value.as_ref(), "lunch box");
    }

    #[test]
    fn a_category_named_after_a_product_kind_takes_its_words() {
        let product = ProductText { title: "RED BAG", category: Some("bags"), ..ProductText::default() };
        let vocabulary = Vocabulary::learn([product]);
        assert_eq!(vocabulary.english.get("bag").unwrap()[0], Term::new("category", "bags"));
        assert_eq!(Vocabulary::learn([]).english.get("bag").unwrap()[0], Term::new("product", "bag"));
    }
}
