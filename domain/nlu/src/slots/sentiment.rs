//! Sentiment of a message by a list of words.

use std::sync::LazyLock;

/// Words with their sentiment in permille.
static WORDS: LazyLock<Vec<(i16, &'static str)>> = LazyLock::new(|| {
    let rows = include_str!("../../data/sentiment.tsv").lines().filter_map(|line| line.split_once('\t'));
    rows.filter_map(|(value, words)| Some((value.parse().ok()?, words)))
        .flat_map(|(value, words)| words.split('|').map(move |word| (value, word)))
        .collect()
});

/// Negations, which reverse and halve the sentiment of the word after them.
const NEGATIONS: [&str; 10] =
    ["not ", "no ", "don't ", "dont ", "isn't ", "never ", "doesn't ", "wasn't ", "aren't ", "안 "];
/// Korean negations after a word.
const NEGATIONS_AFTER: [&str; 3] = ["지 않", "지는 않", "진 않"];

/// Sentiment of a normalised text, -1000 (negative) to 1000 (positive). Only the first 1,000 bytes are read.
pub(crate) fn permille(text: &str) -> i16 {
    let text = &text[..text.floor_char_boundary(1_000)];
    let mut sum = 0_i32;
    for (value, word) in WORDS.iter() {
        let Some(at) = find(text, word) else { continue };
        let before = &text[..at];
        let after = &text[at + word.len()..];
        let near = after.char_indices().nth(6).map_or(after, |(end, _)| &after[..end]);
        let is_negated = NEGATIONS.iter().any(|negation| before.ends_with(negation))
            || NEGATIONS_AFTER.iter().any(|negation| near.contains(negation));
        sum += i32::from(if is_negated { -value / 2 } else { *value });
    }
    i16::try_from(sum.clamp(-1_000, 1_000)).unwrap_or_default()
}

/// Byte offset of a word; a Latin word must be whole, except for a final "s" or "d".
fn find(text: &str, word: &str) -> Option<usize> {
    let latin = word.as_bytes()[0].is_ascii_alphabetic();
    let whole = |at: usize| {
        let before = text[..at].chars().next_back().is_none_or(|character| !character.is_alphanumeric());
        let rest = text[at + word.len()..].trim_start_matches(['s', 'd']);
        before && rest.chars().next().is_none_or(|character| !character.is_alphanumeric())
    };
    text.match_indices(word).map(|(at, _)| at).find(|&at| !latin || whole(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_a_sentiment_and_negations_reverse_it() {
        assert!(permille("i love it, thanks") > 500);
        assert!(permille("this is not good") < 0);
        assert!(permille("빨간색 좋아해요") > 0);
        assert!(permille("플라스틱은 극혐이에요") < 0);
        assert!(permille("나쁘지 않네요") >= 0);
        assert_eq!(permille("a red bag"), 0);
        assert_eq!(permille("glover"), 0);
        assert!(permille(&"좋아 최고 완벽 사랑 대박 ".repeat(100)) <= 1_000);
    }
}
