//! Grounding check of text that is written like a product's title.

use jangbogo_events::CategoryId;
use jangbogo_lexicon::key;

use super::{Sentence, Ungrounded, is_placeholder};

/// Words with a capital that are not titles.
const COMMON: &[&str] =
    &["i", "im", "ill", "ive", "id", "ok", "korean", "english", "uk", "christma", "christmas", "easter"];
const QUOTES: &[(char, char)] = &[('"', '"'), ('“', '”'), ('«', '»'), ('「', '」'), ('\'', '\''), ('‘', '’')];

/// Checks that runs of capitalised words are parts of titles, and that phrases in quotation marks were requested.
pub(super) fn check(sentence: &Sentence<'_>) -> Result<(), Ungrounded> {
    let supported = supported_texts(sentence);
    let mut run: Vec<&str> = Vec::new();
    // The first word of a sentence has a capital in any case.
    let mut first = true;
    for word in sentence.text.split_whitespace().chain([""]) {
        let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
        let capital = bare.starts_with(char::is_uppercase) && !COMMON.contains(&key(bare).as_str());
        if capital && !word.contains(is_placeholder) {
            run.push(bare);
        }
        if !capital || word.contains(is_placeholder) || word.ends_with([',', '.', '!', '?', ':', ';']) {
            let named = if first && !is_all_capitals(&run) { run.get(1..).unwrap_or_default() } else { &run[..] };
            let phrase = named.join(" ");
            if !phrase.is_empty() && !supported.iter().any(|text| text.contains(&format!(" {} ", key(&phrase)))) {
                return Err(Ungrounded::Title(run.join(" ")));
            }
            run.clear();
            first = false;
        }
    }
    check_quoted(sentence, &supported)
}

/// Two or more words in capitals are a title at the beginning of a sentence too.
fn is_all_capitals(run: &[&str]) -> bool {
    run.len() > 1 && run.iter().all(|word| !word.chars().any(char::is_lowercase))
}

/// Titles, categories, reasons and requested values, as keys with spaces around them.
fn supported_texts(sentence: &Sentence<'_>) -> Vec<String> {
    let items = sentence
        .recommendation
        .items
        .iter()
        .flat_map(|item| [Some(&*item.title), item.category.as_ref().map(CategoryId::as_str), Some(&*item.reason)]);
    let (requested, understood) = (&sentence.recommendation.request.wishes, &sentence.recommendation.understood.wishes);
    let values = requested.iter().chain(understood).map(|wish| Some(&*wish.value));
    items.chain(values).flatten().map(|text| format!(" {} ", key(text))).collect()
}

fn check_quoted(sentence: &Sentence<'_>, supported: &[String]) -> Result<(), Ungrounded> {
    for (open, close) in QUOTES {
        let mut rest = sentence.text;
        while let Some(start) = rest.find(*open) {
            let inside = &rest[start + open.len_utf8()..];
            let Some(end) = inside.find(*close) else { break };
            let words = key(&inside[..end]);
            if words.contains(' ') && !supported.iter().any(|text| text.contains(&format!(" {words} "))) {
                return Err(Ungrounded::Title(inside[..end].to_owned()));
            }
            rest = &inside[end + close.len_utf8()..];
        }
    }
    Ok(())
}
