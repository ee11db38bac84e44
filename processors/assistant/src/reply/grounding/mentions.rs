//! Grounding check of mentioned product kinds, colours and materials, in any case and both languages.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use jangbogo_events::{CategoryId, RecommendedProduct};
use jangbogo_lexicon::{Phrases, Slot, hangul, key, singular};

use super::{Sentence, Ungrounded, is_placeholder};

/// Names of kinds that are as often common words: not read as mentions.
#[rustfmt::skip]
const AMBIGUOUS: &[&str] = &[
    "match", "shopper", "lighter", "watch", "figure", "file", "sign", "scale", "swing", "tie", "fan", "lock", "label",
    "letter", "monitor", "patch", "stamp", "ram", "ups", "novel", "mobile", "paint", "clear", "present", "tip", "set",
    "light",
];
/// The word that replaces a product's placeholder.
const PRODUCT: &str = "\u{E000}";

/// English phrases for product kinds, colours and materials, each with the canonical name of its kind or value.
static ENGLISH: LazyLock<Phrases<&'static str>> = LazyLock::new(|| {
    let mut phrases = Phrases::default();
    let mut add = |form: &str, name: &'static str| {
        if !AMBIGUOUS.contains(&key(form).as_str())
            && let Some(entry) = phrases.entry(form)
        {
            *entry = name;
        }
    };
    for value in values() {
        jangbogo_lexicon::surface_forms(value).for_each(|form| add(form, value.name));
    }
    for kind in jangbogo_lexicon::kinds() {
        kind.forms().for_each(|form| add(form, kind.name));
    }
    phrases
});

/// Korean words for the same, without spaces.
static KOREAN: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let values = values().flat_map(|value| value.korean.iter().map(move |form| (form, value.name)));
    let kinds = jangbogo_lexicon::kinds().iter().flat_map(|kind| kind.korean.iter().map(move |form| (form, kind.name)));
    let forms = values.chain(kinds).filter(|(form, _)| form.chars().all(|c| c == ' ' || hangul::is_syllable(c)));
    forms.map(|(form, name)| (form.replace(' ', ""), name)).collect()
});

fn values() -> impl Iterator<Item = &'static jangbogo_lexicon::Value> {
    jangbogo_lexicon::values().iter().filter(|value| matches!(value.slot, Slot::Color | Slot::Material))
}

/// Checks every kind, colour and material that a sentence mentions.
pub(super) fn check(sentence: &Sentence<'_>) -> Result<(), Ungrounded> {
    let mut in_list = false;
    for clause in clauses(sentence.text) {
        let words = words(clause);
        let (mut at, mut has_other_words, mut excused_here) = (0, false, false);
        while at < words.len() {
            let (length, mention) = mention_at_start(&words[at..]);
            let phrase = &words[at..at + length];
            has_other_words |= mention.is_none() && !matches!(phrase[0].as_str(), "a" | "an" | "or" | "the");
            if mention.is_some_and(|name| !is_supported(sentence, clause, name, phrase)) {
                // The words before a list apply to all of it: no teapots, mugs or plates.
                excused_here = is_excused(&words[..at], &words[at + length..], phrase) || in_list && !has_other_words;
                if !excused_here {
                    return Err(Ungrounded::Mention(phrase.join(" ")));
                }
            }
            at += length;
        }
        in_list = excused_here || in_list && !has_other_words;
    }
    Ok(())
}

/// True if a product that the clause names, or any recommended one if it names none, is of that kind or has that value.
fn is_supported(sentence: &Sentence<'_>, clause: &str, name: &'static str, phrase: &[String]) -> bool {
    let named: Vec<&RecommendedProduct> = sentence.products(clause).collect();
    let terms = if named.is_empty() {
        ProductTerms::from_items(&sentence.recommendation.items)
    } else {
        ProductTerms::from_items(named)
    };
    terms.include(name, phrase)
}

/// Splits a sentence at commas, brackets and conjunctions.
fn clauses(sentence: &str) -> Vec<&str> {
    let mut clauses = vec![sentence];
    for divider in
        [",", ";", "(", ")", "—", "–", " but ", " however ", " although ", " and ", " so ", "지만 ", "는데 ", "은데 "]
    {
        clauses = clauses.into_iter().flat_map(|clause| clause.split(divider)).collect();
    }
    clauses
}

fn words(clause: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = clause;
    while let Some(start) = rest.find(is_placeholder) {
        jangbogo_lexicon::split(&rest[..start], |word| words.push(singular(word).into_owned()));
        words.push(PRODUCT.to_owned());
        let length = rest[start..].chars().next().map_or(0, char::len_utf8);
        rest = &rest[start + length..];
    }
    jangbogo_lexicon::split(rest, |word| words.push(singular(word).into_owned()));
    words
}

/// The mention that these words begin with, if any, and its number of words, at least 1.
fn mention_at_start(words: &[String]) -> (usize, Option<&'static str>) {
    if let Some((length, name)) = ENGLISH.longest(words) {
        return (length, Some(name));
    }
    if words[0].starts_with(hangul::is_syllable) {
        for length in (1..=words.len().min(3)).rev() {
            if let Some(name) = korean_mention(&words[..length]) {
                return (length, Some(name));
            }
        }
    }
    (1, None)
}

/// The mention that Korean words are together: they end with it, but for particles; one of up to two syllables is all
/// of them.
fn korean_mention(words: &[String]) -> Option<&'static str> {
    let characters: Vec<char> = words.iter().flat_map(|word| word.chars()).collect();
    // A name that begins in a later word is read from that word on.
    for start in 0..words.first().map_or(0, |first| first.chars().count()) {
        for end in (start + 1..=characters.len()).rev() {
            let form: String = characters[start..end].iter().collect();
            let rest: String = characters[end..].iter().collect();
            // 파란 and 파란색 are the same colour.
            let rest = rest.strip_prefix('색').unwrap_or(&rest);
            let whole = start == 0 || end - start > 2;
            if let Some(name) = KOREAN.get(&form).filter(|_| whole && PARTICLES.contains(&rest)) {
                return Some(name);
            }
        }
    }
    None
}

#[rustfmt::skip]
const PARTICLES: &[&str] = &[
    "", "이", "가", "은", "는", "을", "를", "도", "만", "의", "와", "과", "랑", "이랑", "나", "이나", "로", "으로", "들", "들이", "들도", "들은",
    "들을", "라도", "이라도", "인", "인데", "이고", "이며", "예요", "이에요", "입니다", "까지", "에", "에도", "에는", "에서", "용", "요", "이요", "보다",
    "처럼", "뿐", "등",
];

/// Kinds, values and words of products, by their titles, categories and reasons.
struct ProductTerms {
    names: BTreeSet<&'static str>,
    words: Vec<Vec<String>>,
}

impl ProductTerms {
    fn from_items<'a>(items: impl IntoIterator<Item = &'a RecommendedProduct>) -> Self {
        let mut terms = Self { names: BTreeSet::new(), words: Vec::new() };
        for item in items {
            for text in [Some(&*item.title), item.category.as_ref().map(CategoryId::as_str), Some(&*item.reason)] {
                let words = words(text.unwrap_or_default());
                for start in 0..words.len() {
                    for end in start + 1..=words.len().min(start + 4) {
                        terms.names.extend(ENGLISH.get(&words[start..end].join(" ")));
                        terms.names.extend(korean_mention(&words[start..end]));
                    }
                }
                terms.words.push(words);
            }
            let facets = jangbogo_lexicon::facets(&item.title, None, []);
            let values = facets.iter().filter_map(|(slot, value)| jangbogo_lexicon::value(slot, value));
            terms.names.extend(values.map(|value| value.name));
        }
        terms
    }

    /// True if one of the products has the name by any word for it, or its text has the phrase's words.
    fn include(&self, name: &'static str, phrase: &[String]) -> bool {
        self.names.contains(name) || self.words.iter().any(|words| phrase.iter().all(|word| words.contains(word)))
    }
}

const DENIED: &[&str] = &[
    "no", "not", "isnt", "arent", "wasnt", "never", "cannot", "cant", "couldnt", "didnt", "dont", "nothing", "none",
    "without", "instead", "than",
];
/// Phrases that contain a word of denial and deny nothing.
const NOT_DENIED: &[&str] =
    &["no problem", "no worry", "no doubt", "not only", "not just", "why not", "no wonder", "more than", "better than"];
/// Phrases that repeat the request, or offer to look for something.
#[rustfmt::skip]
const REQUEST: &[&str] = &[
    "you asked for", "looking for", "you want", "you wanted", "you mentioned", "you need", "you said",
    "your search for", "your request for", "your wish for", "i look for", "i search for", "me to look for",
    "me to search for", "i can look for", "you like",
];
/// Prepositions of a place where a product is used.
const PLACES: &[&str] = &["on", "in", "for", "around", "beside", "into", "onto", "under", "near", "inside"];
const ARTICLES: &[&str] = &["your", "the", "a", "an", "any", "every"];
#[rustfmt::skip]
const KOREAN_EXCUSES: &[&str] = &[
    "없", "못", "아니", "아닌", "말고", "빼고", "제외", "대신", "찾으시", "찾으셨", "찾고 계", "원하시", "원하신", "말씀하신", "요청하신", "문의하신",
    "찾아볼까", "찾아드릴까", "찾아 볼까", "찾아 드릴까",
];
const KOREAN_REQUEST: &[&str] =
    &["찾으시", "찾으신", "원하시", "원하신", "말씀하신", "요청하신", "문의하신", "좋아하시", "제외할", "반영하지 않"];

/// True if the words around an unsupported mention deny it, repeat the request, or name a place of use.
fn is_excused(before: &[String], behind: &[String], phrase: &[String]) -> bool {
    is_excused_in_english(before) || is_excused_in_korean(before, behind, phrase)
}

fn is_excused_in_english(before: &[String]) -> bool {
    let last_words = |count: usize| format!(" {} ", before[before.len().saturating_sub(count)..].join(" "));
    let text = NOT_DENIED.iter().fold(last_words(5), |text, phrase| text.replace(&format!(" {phrase} "), " "));
    let is_denied = DENIED.iter().any(|word| text.contains(&format!(" {word} ")));
    let is_request = REQUEST.iter().any(|phrase| last_words(7).contains(&format!(" {phrase} ")));
    let is_place = before
        .windows(2)
        .rev()
        .take(2)
        .any(|pair| PLACES.contains(&pair[0].as_str()) && ARTICLES.contains(&pair[1].as_str()));
    is_denied || is_request || is_place
}

fn is_excused_in_korean(before: &[String], behind: &[String], phrase: &[String]) -> bool {
    let (before, behind) = (before.join(" "), behind[..behind.len().min(3)].join(" "));
    let last = phrase.last().map_or("", String::as_str);
    let is_place =
        last.ends_with('에') || last.ends_with("에서") || behind.starts_with('위') || behind.starts_with('안');
    let says_there_is = behind.contains('있');
    KOREAN_EXCUSES.iter().any(|excuse| behind.contains(excuse))
        || !says_there_is && (is_place || KOREAN_REQUEST.iter().any(|request| before.contains(request)))
}
