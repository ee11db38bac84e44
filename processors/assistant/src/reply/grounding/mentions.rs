//! Kinds of things, colours and materials that are spoken of, in any case and both languages.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use jangbogo_events::{CategoryId, RecommendedProduct};
use jangbogo_lexicon::{Phrases, Slot, hangul, key, singular};

use super::{Sentence, Ungrounded, is_mark};

/// Kinds by words that mean something else as often.
#[rustfmt::skip]
const OTHERWISE: &[&str] = &[
    "match", "shopper", "lighter", "watch", "figure", "file", "sign", "scale", "swing", "tie", "fan", "lock", "label",
    "letter", "monitor", "patch", "stamp", "ram", "ups", "novel", "mobile", "paint", "clear", "present", "tip", "set", "light",
];
/// A word that stands for a product that is named.
const NAMED: &str = "\u{E000}";

/// What English phrases name: kinds of things, colours, materials, by their first names.
static ENGLISH: LazyLock<Phrases<&'static str>> = LazyLock::new(|| {
    let mut phrases = Phrases::default();
    let mut add = |form: &str, name: &'static str| {
        if !OTHERWISE.contains(&key(form).as_str())
            && let Some(entry) = phrases.entry(form)
        {
            *entry = name;
        }
    };
    for value in values() {
        jangbogo_lexicon::names(value).for_each(|form| add(form, value.name));
    }
    for kind in jangbogo_lexicon::kinds() {
        kind.forms().for_each(|form| add(form, kind.name));
    }
    phrases
});

/// The same by Korean words, without their spaces.
static KOREAN: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let values = values().flat_map(|value| value.korean.iter().map(move |form| (form, value.name)));
    let kinds = jangbogo_lexicon::kinds().iter().flat_map(|kind| kind.korean.iter().map(move |form| (form, kind.name)));
    let forms = values.chain(kinds).filter(|(form, _)| form.chars().all(|c| c == ' ' || hangul::is_syllable(c)));
    forms.map(|(form, name)| (form.replace(' ', ""), name)).collect()
});

fn values() -> impl Iterator<Item = &'static jangbogo_lexicon::Value> {
    jangbogo_lexicon::values().iter().filter(|value| matches!(value.slot, Slot::Color | Slot::Material))
}

/// Checks what a sentence names.
pub(super) fn check(sentence: &Sentence<'_>) -> Result<(), Ungrounded> {
    let mut listed = false;
    for clause in clauses(sentence.text) {
        let words = words(clause);
        let (mut at, mut others, mut excused_here) = (0, false, false);
        while at < words.len() {
            let (length, found) = thing(&words[at..]);
            let phrase = &words[at..at + length];
            others |= found.is_none() && !matches!(phrase[0].as_str(), "a" | "an" | "or" | "the");
            if found.is_some_and(|name| !is_so(sentence, clause, name, phrase)) {
                // In a list, what was said before its first counts for all: no teapots, mugs or plates.
                excused_here = excused(&words[..at], &words[at + length..], phrase) || listed && !others;
                if !excused_here {
                    return Err(Ungrounded::Thing(phrase.join(" ")));
                }
            }
            at += length;
        }
        listed = excused_here || listed && !others;
    }
    Ok(())
}

/// Whether the products that a clause names, or else any that is recommended, are what is said.
fn is_so(sentence: &Sentence<'_>, clause: &str, name: &'static str, phrase: &[String]) -> bool {
    let named: Vec<&RecommendedProduct> = sentence.products(clause).collect();
    let known = if named.is_empty() { Known::of(&sentence.given.items) } else { Known::of(named) };
    known.has(name, phrase)
}

/// Commas, brackets and conjunctions divide.
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
    while let Some(start) = rest.find(is_mark) {
        jangbogo_lexicon::split(&rest[..start], |word| words.push(singular(word).into_owned()));
        words.push(NAMED.to_owned());
        let length = rest[start..].chars().next().map_or(0, char::len_utf8);
        rest = &rest[start + length..];
    }
    jangbogo_lexicon::split(rest, |word| words.push(singular(word).into_owned()));
    words
}

/// What stands at the beginning of these words, and in how many of them.
fn thing(words: &[String]) -> (usize, Option<&'static str>) {
    if let Some((length, name)) = ENGLISH.longest(words) {
        return (length, Some(name));
    }
    if words[0].starts_with(hangul::is_syllable) {
        for length in (1..=words.len().min(3)).rev() {
            if let Some(name) = korean(&words[..length]) {
                return (length, Some(name));
            }
        }
    }
    (1, None)
}

/// What Korean words name together: they end with the name, but for particles; a short name is the whole of them.
fn korean(words: &[String]) -> Option<&'static str> {
    let characters: Vec<char> = words.iter().flat_map(|word| word.chars()).collect();
    // A name that begins in a later word is that word's.
    for start in 0..words.first().map_or(0, |first| first.chars().count()) {
        for end in (start + 1..=characters.len()).rev() {
            let form: String = characters[start..end].iter().collect();
            let rest: String = characters[end..].iter().collect();
            // 파란 and 파란색 are one.
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

/// What products are, by their titles, categories and reasons.
struct Known {
    names: BTreeSet<&'static str>,
    words: Vec<Vec<String>>,
}

impl Known {
    fn of<'a>(items: impl IntoIterator<Item = &'a RecommendedProduct>) -> Self {
        let mut known = Self { names: BTreeSet::new(), words: Vec::new() };
        for item in items {
            for text in [Some(&*item.title), item.category.as_ref().map(CategoryId::as_str), Some(&*item.reason)] {
                let words = words(text.unwrap_or_default());
                for start in 0..words.len() {
                    for end in start + 1..=words.len().min(start + 4) {
                        known.names.extend(ENGLISH.get(&words[start..end].join(" ")));
                        known.names.extend(korean(&words[start..end]));
                    }
                }
                known.words.push(words);
            }
            let facets = jangbogo_lexicon::facets(&item.title, None, []);
            let wider = facets.iter().filter_map(|(slot, value)| jangbogo_lexicon::value(slot, value));
            known.names.extend(wider.map(|value| value.name));
        }
        known
    }

    /// Whether one of them is what is named: by another word for it, or by these very words.
    fn has(&self, name: &'static str, phrase: &[String]) -> bool {
        self.names.contains(name) || self.words.iter().any(|words| phrase.iter().all(|word| words.contains(word)))
    }
}

const DENIED: &[&str] = &[
    "no", "not", "isnt", "arent", "wasnt", "never", "cannot", "cant", "couldnt", "didnt", "dont", "nothing", "none",
    "without", "instead", "than",
];
/// Looks like a denial and is none.
const NOT_DENIED: &[&str] =
    &["no problem", "no worry", "no doubt", "not only", "not just", "why not", "no wonder", "more than", "better than"];
/// Tells what was asked for, or offers to look for something.
#[rustfmt::skip]
const ASKED: &[&str] = &[
    "you asked for", "looking for", "you want", "you wanted", "you mentioned", "you need", "you said", "your search for",
    "your request for", "your wish for", "i look for", "i search for", "me to look for", "me to search for", "i can look for", "you like",
];
/// Where a product is used.
const PLACES: &[&str] = &["on", "in", "for", "around", "beside", "into", "onto", "under", "near", "inside"];
const ARTICLES: &[&str] = &["your", "the", "a", "an", "any", "every"];
#[rustfmt::skip]
const KOREAN_EXCUSES: &[&str] = &[
    "없", "못", "아니", "아닌", "말고", "빼고", "제외", "대신", "찾으시", "찾으셨", "찾고 계", "원하시", "원하신", "말씀하신", "요청하신", "문의하신",
    "찾아볼까", "찾아드릴까", "찾아 볼까", "찾아 드릴까",
];
const KOREAN_ASKED: &[&str] =
    &["찾으시", "찾으신", "원하시", "원하신", "말씀하신", "요청하신", "문의하신", "좋아하시", "제외할", "반영하지 않"];

/// Whether something that no product is may be spoken of all the same.
fn excused(before: &[String], behind: &[String], phrase: &[String]) -> bool {
    by_english(before) || by_korean(before, behind, phrase)
}

fn by_english(before: &[String]) -> bool {
    let near = |count: usize| format!(" {} ", before[before.len().saturating_sub(count)..].join(" "));
    let denied = NOT_DENIED.iter().fold(near(5), |text, phrase| text.replace(&format!(" {phrase} "), " "));
    let denied = DENIED.iter().any(|word| denied.contains(&format!(" {word} ")));
    let asked = ASKED.iter().any(|phrase| near(7).contains(&format!(" {phrase} ")));
    let used = before
        .windows(2)
        .rev()
        .take(2)
        .any(|pair| PLACES.contains(&pair[0].as_str()) && ARTICLES.contains(&pair[1].as_str()));
    denied || asked || used
}

fn by_korean(before: &[String], behind: &[String], phrase: &[String]) -> bool {
    let (told, near) = (before.join(" "), behind[..behind.len().min(3)].join(" "));
    let last = phrase.last().map_or("", String::as_str);
    let place = last.ends_with('에') || last.ends_with("에서") || near.starts_with('위') || near.starts_with('안');
    let has = near.contains('있');
    KOREAN_EXCUSES.iter().any(|excuse| near.contains(excuse))
        || !has && (place || KOREAN_ASKED.iter().any(|asked| told.contains(asked)))
}
