//! What is written like a product's name.

use jangbogo_events::CategoryId;
use jangbogo_lexicon::key;

use super::{Sentence, Ungrounded, is_mark};

/// Words that have a capital and name nothing that is sold.
const COMMON: &[&str] =
    &["i", "im", "ill", "ive", "id", "ok", "korean", "english", "uk", "christma", "christmas", "easter"];
const QUOTES: &[(char, char)] = &[('"', '"'), ('“', '”'), ('«', '»'), ('「', '」'), ('\'', '\''), ('‘', '’')];

/// Checks that runs of words with capitals are pieces of titles, and what stands in quotation marks was asked for.
pub(super) fn check(sentence: &Sentence<'_>) -> Result<(), Ungrounded> {
    let known = known(sentence);
    let mut run: Vec<&str> = Vec::new();
    // The first word of a sentence has a capital whatever it is.
    let mut first = true;
    for word in sentence.text.split_whitespace().chain([""]) {
        let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
        let capital = bare.starts_with(char::is_uppercase) && !COMMON.contains(&key(bare).as_str());
        if capital && !word.contains(is_mark) {
            run.push(bare);
        }
        if !capital || word.contains(is_mark) || word.ends_with([',', '.', '!', '?', ':', ';']) {
            let named = if first && !shouts(&run) { run.get(1..).unwrap_or_default() } else { &run[..] };
            let phrase = named.join(" ");
            if !phrase.is_empty() && !known.iter().any(|text| text.contains(&format!(" {} ", key(&phrase)))) {
                return Err(Ungrounded::Title(run.join(" ")));
            }
            run.clear();
            first = false;
        }
    }
    quoted(sentence, &known)
}

/// Two words all in capitals are a title wherever they position.
fn shouts(run: &[&str]) -> bool {
    run.len() > 1 && run.iter().all(|word| !word.chars().any(char::is_lowercase))
}

/// Titles, categories and what was asked for, as keys with spaces around them.
fn known(sentence: &Sentence<'_>) -> Vec<String> {
    let items = sentence
        .given
        .items
        .iter()
        .flat_map(|item| [Some(&*item.title), item.category.as_ref().map(CategoryId::as_str), Some(&*item.reason)]);
    let (asked, said) = (&sentence.given.request.wishes, &sentence.given.understood.wishes);
    let asked = asked.iter().chain(said).map(|wish| Some(&*wish.value));
    items.chain(asked).flatten().map(|text| format!(" {} ", key(text))).collect()
}

fn quoted(sentence: &Sentence<'_>, known: &[String]) -> Result<(), Ungrounded> {
    for (open, close) in QUOTES {
        let mut rest = sentence.text;
        while let Some(start) = rest.find(*open) {
            let inside = &rest[start + open.len_utf8()..];
            let Some(end) = inside.find(*close) else { break };
            let words = key(&inside[..end]);
            if words.contains(' ') && !known.iter().any(|text| text.contains(&format!(" {words} "))) {
                return Err(Ungrounded::Title(inside[..end].to_owned()));
            }
            rest = &inside[end + close.len_utf8()..];
        }
    }
    Ok(())
}
