//! Tokens of English text: lower case, without punctuation, in the singular.

use std::borrow::Cow;

/// Plurals that the rules of [`singular`] do not cover.
#[rustfmt::skip]
const IRREGULAR: &[(&str, &str)] = &[
    ("knives", "knife"), ("leaves", "leaf"), ("shelves", "shelf"), ("scarves", "scarf"), ("loaves", "loaf"),
    ("wolves", "wolf"), ("mice", "mouse"), ("geese", "goose"), ("feet", "foot"), ("teeth", "tooth"),
    ("cookies", "cookie"), ("pies", "pie"), ("ties", "tie"), ("brownies", "brownie"), ("hoodies", "hoodie"),
    ("movies", "movie"), ("hotties", "hottie"), ("brollies", "brolly"), ("shoes", "shoe"), ("toes", "toe"),
    ("lenses", "lens"), ("potatoes", "potato"), ("tomatoes", "tomato"), ("dominoes", "domino"), ("heroes", "hero"),
    ("doilies", "doily"), ("scotties", "scottie"), ("axes", "axe"), ("buses", "bus"), ("boxes", "box"),
    ("quizzes", "quiz"), ("vases", "vase"), ("cases", "case"), ("bases", "base"), ("purses", "purse"),
    ("houses", "house"), ("horses", "horse"), ("roses", "rose"), ("nurses", "nurse"), ("blouses", "blouse"),
    ("cheeses", "cheese"), ("noses", "nose"), ("suitcases", "suitcase"), ("princesses", "princess"),
];

/// Words in `s` that are not plurals, or are sold in the plural only.
#[rustfmt::skip]
const UNCHANGED: &[&str] = &[
    "scissors", "sunglasses", "trousers", "jeans", "headphones", "earphones", "earbuds", "binoculars", "pyjamas",
    "tights", "leggings", "shorts", "secateurs", "christmas", "xmas", "canvas", "gas", "chess", "always", "perhaps",
    "plus", "las", "vegas", "paris", "texas", "atlas", "lens", "has", "was", "is", "as", "this", "its", "his", "yes",
    "us", "bus", "thus", "les", "des", "gloves", "dress", "news", "series", "thanks", "iris", "stainless", "mrs", "ups", "os",
    "abs", "hips", "gps", "ios", "hers", "ours", "yours", "theirs", "towards", "besides", "sometimes", "anyways", "does", "goes",
];

/// The singular of a lower-case English word by rules and a short list; other words are unchanged.
#[must_use]
pub fn singular(word: &str) -> Cow<'_, str> {
    let bytes = word.as_bytes();
    if bytes.len() < 3 || bytes[bytes.len() - 1] != b's' || !bytes.is_ascii() {
        return match word {
            "mice" => "mouse".into(),
            "feet" => "foot".into(),
            "teeth" => "tooth".into(),
            "geese" => "goose".into(),
            _ => word.into(),
        };
    }
    let stem = &word[..word.len() - 1];
    if stem.ends_with('s') || stem.ends_with('u') || stem.ends_with("si") || UNCHANGED.contains(&word) {
        return word.into();
    }
    if let Some((_, singular)) = IRREGULAR.iter().find(|(plural, _)| *plural == word) {
        return (*singular).into();
    }
    if let Some(stem) = stem.strip_suffix("ie").filter(|stem| stem.len() > 1) {
        return format!("{stem}y").into();
    }
    let hissing = ["sse", "she", "che", "xe", "zze"].iter().any(|ending| stem.ends_with(ending));
    if hissing { stem[..stem.len() - 1].into() } else { stem.into() }
}

/// Calls `each` with every word of a text: runs of letters and digits in lower case. An apostrophe is dropped, so that
/// `CHILD'S` is one word; any other character divides.
pub fn split(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::with_capacity(32);
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            word.push(character.to_ascii_lowercase());
        } else if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        } else if !matches!(character, '\'' | '’' | '`') && !word.is_empty() {
            each(&word);
            word.clear();
        }
    }
    if !word.is_empty() {
        each(&word);
    }
}

/// Lookup key of a phrase: its words in the singular, divided by one space.
#[must_use]
pub fn key(phrase: &str) -> String {
    let mut key = String::with_capacity(phrase.len());
    split(phrase, |word| {
        if !key.is_empty() {
            key.push(' ');
        }
        key.push_str(&singular(word));
    });
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_become_singular_and_other_words_stay() {
        let cases = [
            ("bags", "bag"),
            ("boxes", "box"),
            ("dishes", "dish"),
            ("matches", "match"),
            ("glasses", "glass"),
            ("glass", "glass"),
            ("candles", "candle"),
            ("cases", "case"),
            ("daisies", "daisy"),
            ("cookies", "cookie"),
            ("knives", "knife"),
            ("scissors", "scissors"),
            ("christmas", "christmas"),
            ("dress", "dress"),
            ("cactus", "cactus"),
            ("mice", "mouse"),
            ("s", "s"),
            ("가방s", "가방s"),
        ];
        for (plural, expected) in cases {
            assert_eq!(singular(plural), expected, "{plural}");
        }
    }

    #[test]
    fn a_key_has_no_case_no_punctuation_and_no_plural() {
        assert_eq!(key("LUNCH BAGS, Red  RETROSPOT"), "lunch bag red retrospot");
        assert_eq!(key("Child's T-LIGHTS"), "childs t light".replace("childs", "child"));
        assert_eq!(key("…"), "");
    }
}
