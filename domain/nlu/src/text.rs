//! Normalisation and segmentation of a message.

pub(crate) mod english;
pub(crate) mod korean;
pub(crate) mod language;
pub(crate) mod segment;
pub(crate) mod spelling;
pub(crate) mod tokens;

use jangbogo_lexicon::hangul;

/// Characters of a message that are read: enough for a wish, and a bound on the cost of pasted texts.
const MAX_CHARS: usize = 2_000;

/// A message in lower case, with full-width forms replaced by plain ones, jamo joined to syllables, control characters
/// replaced by spaces, and invisible characters removed.
pub(crate) fn normalise(text: &str) -> String {
    let plain: String = text.chars().filter(|&character| !is_invisible(character)).take(MAX_CHARS).map(plain).collect();
    let lower = hangul::compose(&plain).to_lowercase();
    lower.replace("w/o ", "without ").replace("w/ ", "with ")
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{AD}')
}

fn plain(character: char) -> char {
    match character {
        '\n' => '\n',
        '’' | '‘' | '´' | '`' | '＇' => '\'',
        '“' | '”' | '„' | '«' | '»' | '「' | '」' => '"',
        '–' | '—' | '−' | '〜' | '～' => '~',
        '。' => '.',
        '、' => ',',
        '￡' => '£',
        '￦' => '₩',
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(character) - 0xFEE0).unwrap_or(character),
        _ if character.is_whitespace() || character.is_control() => ' ',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_writing_are_normalised() {
        assert_eq!(normalise("Ｌｕｎｃｈ　Ｂａｇ！"), "lunch bag!");
        assert_eq!(normalise("don’t\u{200B} \u{7}want"), "don't  want");
        assert_eq!(normalise("\u{1100}\u{1161}\u{1107}\u{1161}\u{11BC}"), "가방");
        assert_eq!(normalise("bag W/O zip"), "bag without zip");
        assert_eq!(normalise("İ").chars().count(), 2);
        assert_eq!(normalise(&"é".repeat(MAX_CHARS + 1)).chars().count(), MAX_CHARS);
    }
}
