//! Language detection.

use jangbogo_lexicon::hangul::{is_hangul, is_syllable};

/// BCP 47: `ko`, `en`, or `und` for a text in neither script.
///
/// A text in both scripts is Korean if it has at least one Hangul syllable for eight Latin letters: English names occur
/// in Korean sentences more often than the other way round.
#[must_use]
pub fn detect(text: &str) -> &'static str {
    let hangul = text.chars().filter(|&character| is_syllable(character)).count();
    let latin = text.chars().filter(char::is_ascii_alphabetic).count();
    let jamo = text.chars().any(is_hangul);
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
    fn a_mixed_text_is_korean_from_a_share_of_hangul_on() {
        assert_eq!(detect("빨간 가방"), "ko");
        assert_eq!(detect("red retrospot lunch bag 있어요?"), "ko");
        assert_eq!(detect("a bag, please"), "en");
        assert_eq!(detect("my friend 민 said that this shop has really good lunch bags"), "en");
        assert_eq!(detect("ㅋㅋㅋ"), "ko");
        assert_eq!(detect("123 🙂"), "und");
    }
}
