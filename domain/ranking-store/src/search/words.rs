//! Queries for the words of a text.

use serde_json::{Value, json};

/// Most words of a text that are searched for.
const MAX_WORDS: usize = 16;

/// Query for a text's words in any of the fields, as written or in the other grammatical number. One or two words must
/// all match, of more words three quarters. English and Korean are analysed in separate fields.
#[must_use]
pub fn words_in(text: &str, fields: &[&str]) -> Value {
    each_word(text, |word| forms(word, fields))
}

/// Like [`words_in`], with the given queries for a word: the best of them counts.
pub(super) fn each_word(text: &str, queries: impl Fn(&str) -> Vec<Value>) -> Value {
    let word = |word| json!({ "dis_max": { "queries": queries(word) } });
    let words: Vec<Value> = text.split_whitespace().take(MAX_WORDS).map(word).collect();
    json!({ "bool": { "should": words, "minimum_should_match": "2<75%" } })
}

/// Queries for a word in any of the fields, as written or in the other grammatical number.
pub(super) fn forms(word: &str, fields: &[&str]) -> Vec<Value> {
    // A word that an analyser divides, such as "t-light", must match in one field as a whole.
    let whole = |form: &str| json!({ "multi_match": { "query": form, "fields": fields, "operator": "and" } });
    let mut queries = vec![whole(word)];
    queries.extend(other_numbers(word).iter().map(|form| whole(form)));
    queries
}

/// The other grammatical number of an English noun by its common endings: not every server has a stemmer.
fn other_numbers(word: &str) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    if word.len() < 3 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Vec::new();
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    if let Some(stem) = word.strip_suffix("ies") {
        return vec![format!("{stem}y")];
    }
    if ends(&["sses", "shes", "ches", "xes", "zes"]) {
        return vec![word[..word.len() - 2].to_owned()];
    }
    if ends(&["ss", "sh", "ch", "x", "z"]) {
        return vec![format!("{word}es")];
    }
    if let Some(stem) = word.strip_suffix('s') {
        return vec![stem.to_owned()];
    }
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => vec![format!("{stem}ies")],
        _ => vec![format!("{word}s")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_are_found_in_either_number() {
        for (word, other) in [
            ("bag", "bags"),
            ("Bags", "bag"),
            ("dress", "dresses"),
            ("dresses", "dress"),
            ("box", "boxes"),
            ("boxes", "box"),
            ("candles", "candle"),
            ("candle", "candles"),
            ("cherries", "cherry"),
            ("cherry", "cherries"),
            ("tray", "trays"),
        ] {
            assert_eq!(other_numbers(word), [other], "{word}");
        }
        for word in ["원피스", "t-light", "a", "85099B"] {
            assert_eq!(other_numbers(word), Vec::<String>::new(), "{word}");
        }
    }
}
