//! Hangul syllables and the letters (jamo) they are made of.

const FIRST: u32 = 0xAC00;
const LAST: u32 = 0xD7A3;
const VOWELS: u32 = 21;
const FINALS: u32 = 28;

/// Particles that follow nouns.
#[rustfmt::skip]
pub const PARTICLES: &[&str] = &[
    "이", "가", "은", "는", "을", "를", "의", "도", "만", "에", "로", "으로", "와", "과", "랑", "이랑", "하고", "나", "이나", "요",
    "이요", "이에요", "예요", "이면", "면", "인데", "인데요", "보다", "처럼", "까지", "부터", "들", "들이", "들은", "들을", "입니다", "이야",
    "용", "에요", "에서", "이든", "든", "이고", "이라", "라면", "이라면", "으로만", "로만", "이라고", "라고", "으로도", "로도", "으로된",
];

/// True for a whole syllable (가), false for a letter (ㅏ).
#[must_use]
pub fn is_syllable(character: char) -> bool {
    (FIRST..=LAST).contains(&u32::from(character))
}

/// True for a syllable (가) and for a letter (ㅋ, ㅠ).
#[must_use]
pub fn is_hangul(character: char) -> bool {
    is_syllable(character) || matches!(character, '\u{1100}'..='\u{11FF}' | '\u{3131}'..='\u{318E}')
}

/// Indices of a syllable's initial, vowel and final letter (0: no final); none for another character.
fn letters(syllable: char) -> Option<(u32, u32, u32)> {
    let offset = u32::from(syllable).checked_sub(FIRST).filter(|_| is_syllable(syllable))?;
    Some((offset / (VOWELS * FINALS), offset / FINALS % VOWELS, offset % FINALS))
}

/// Joins separate letters (conjoining jamo), as some systems send them, into syllables; other characters stay.
#[must_use]
pub fn compose(text: &str) -> String {
    let mut composed = String::with_capacity(text.len());
    for character in text.chars() {
        let joined = composed.chars().next_back().and_then(|last| join(last, character));
        if let Some(joined) = joined {
            composed.pop();
            composed.push(joined);
        } else {
            composed.push(character);
        }
    }
    composed
}

/// The syllable of an initial and a vowel, or of an open syllable and a final.
fn join(left: char, right: char) -> Option<char> {
    let (left, right) = (u32::from(left), u32::from(right));
    if let (0x1100..=0x1112, 0x1161..=0x1175) = (left, right) {
        return char::from_u32(FIRST + ((left - 0x1100) * VOWELS + right - 0x1161) * FINALS);
    }
    let open = (FIRST..=LAST).contains(&left) && (left - FIRST).is_multiple_of(FINALS);
    if open && (0x11A8..=0x11C2).contains(&right) { char::from_u32(left + right - 0x11A7) } else { None }
}

/// The code points of a text with syllables as letters, so that a typing mistake is one difference: 가방 → ㄱㅏㅂㅏㅇ.
#[must_use]
pub fn spell_out(text: &str) -> Vec<u32> {
    let mut spelled = Vec::with_capacity(text.len());
    for character in text.chars() {
        match letters(character) {
            Some((initial, vowel, last)) => {
                spelled.extend([0x1100 + initial, 0x1161 + vowel]);
                if last > 0 {
                    spelled.push(0x11A7 + last);
                }
            }
            None => spelled.push(u32::from(character)),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_letters_are_joined() {
        let apart: String = spell_out("도시락 가방 bag").into_iter().filter_map(char::from_u32).collect();
        assert_ne!(apart, "도시락 가방 bag");
        assert_eq!(compose(&apart), "도시락 가방 bag");
        assert_eq!(compose("ㅋㅋ \u{1161}"), "ㅋㅋ \u{1161}");
    }

    #[test]
    fn a_syllable_has_two_or_three_letters() {
        assert_eq!(spell_out("가방").len(), 5);
        assert_eq!(letters('a'), None);
        assert!(is_hangul('ㅋ') && !is_syllable('ㅋ') && is_syllable('힣') && !is_hangul('a'));
    }
}
