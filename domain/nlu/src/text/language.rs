//! In which language a message is written.

use jangbogo_lexicon::hangul::is_syllable;

/// BCP 47: `ko`, `en`, or `und` for a text in neither script.
///
/// A text in both is in the language whose grammar holds it together: Korean, if a word of two Hangul syllables or a
/// third of the letters are Hangul, since Koreans put English names into Korean sentences and not the other way round.
#[must_use]
pub fn detect(text: &str) -> &'static str {
    let hangul = text.chars().filter(|&character| is_syllable(character)).count();
    let latin = text.chars().filter(char::is_ascii_alphabetic).count();
    let jamo = text.chars().any(jangbogo_lexicon::hangul::is_hangul);
    match (hangul, latin) {
        (0, 0) if jamo => "ko",
        (0, 0) => "und",
        (0, _) => "en",
        _ if hangul * 8 >= latin => "ko",
        _ => "en",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_decides() {
        assert_eq!(detect("빨간 가방"), "ko");
        assert_eq!(detect("red retrospot lunch bag 있어요?"), "ko");
        assert_eq!(detect("a bag, please"), "en");
        assert_eq!(detect("my friend 민 said that this shop has really good lunch bags"), "en");
        assert_eq!(detect("ㅋㅋㅋ"), "ko");
        assert_eq!(detect("123 🙂"), "und");
    }
}
