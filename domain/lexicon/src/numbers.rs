//! Number words and counters, Korean and English.

/// Native Korean numbers below a hundred, before a counter and alone.
#[rustfmt::skip]
const NATIVE: &[(&str, u32)] = &[
    ("하나", 1), ("한", 1), ("둘", 2), ("두", 2), ("셋", 3), ("세", 3), ("석", 3), ("넷", 4), ("네", 4), ("넉", 4),
    ("다섯", 5), ("여섯", 6), ("일곱", 7), ("여덟", 8), ("여덜", 8), ("아홉", 9), ("열", 10), ("스물", 20), ("스무", 20),
    ("서른", 30), ("마흔", 40), ("쉰", 50), ("예순", 60), ("일흔", 70), ("여든", 80), ("아흔", 90),
];

/// Korean counters and the number of units that each stands for.
#[rustfmt::skip]
pub const KOREAN_COUNTERS: &[(&str, u32)] = &[
    ("개", 1), ("장", 1), ("권", 1), ("병", 1), ("자루", 1), ("세트", 1), ("벌", 1), ("켤레", 1), ("대", 1), ("송이", 1),
    ("묶음", 1), ("봉지", 1), ("박스", 1), ("상자", 1), ("팩", 1), ("통", 1), ("점", 1), ("다스", 12), ("타스", 12),
    ("더즌", 12), ("쌍", 2), ("잔", 1), ("그루", 1), ("필", 1), ("롤", 1), ("조각", 1), ("셋트", 1), ("줄", 1),
];

#[rustfmt::skip]
const ENGLISH: &[(&str, u32)] = &[
    ("one", 1), ("two", 2), ("three", 3), ("four", 4), ("five", 5), ("six", 6), ("seven", 7), ("eight", 8), ("nine", 9),
    ("ten", 10), ("eleven", 11), ("twelve", 12), ("thirteen", 13), ("fourteen", 14), ("fifteen", 15), ("sixteen", 16),
    ("seventeen", 17), ("eighteen", 18), ("nineteen", 19), ("twenty", 20), ("thirty", 30), ("forty", 40), ("fifty", 50),
    ("sixty", 60), ("seventy", 70), ("eighty", 80), ("ninety", 90),
];

/// Number of an English word; `dozen` and `hundred` multiply and are left to the caller.
#[must_use]
pub fn english(word: &str) -> Option<u32> {
    ENGLISH.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

/// Length in characters and value of a native Korean number (두, 열두, 스물다섯) that the text begins with.
#[must_use]
pub fn native_korean(text: &[char]) -> Option<(usize, u32)> {
    let (length, tens) = native_word(text)?;
    if tens >= 10
        && let Some((more, units)) = native_word(&text[length..]).filter(|(_, units)| *units < 10)
    {
        return Some((length + more, tens + units));
    }
    Some((length, tens))
}

fn native_word(text: &[char]) -> Option<(usize, u32)> {
    let matching = NATIVE.iter().filter(|(word, _)| starts_with(text, word));
    matching.map(|(word, number)| (word.chars().count(), *number)).max_by_key(|(length, _)| *length)
}

fn starts_with(text: &[char], word: &str) -> bool {
    let mut rest = text.iter();
    word.chars().all(|character| rest.next() == Some(&character))
}

/// Length in characters and value of a Sino-Korean number (이만오천, 삼천, 백) that the text begins with. 만 alone is ten
/// thousand.
#[must_use]
pub fn sino_korean(text: &[char]) -> Option<(usize, u64)> {
    let (mut total, mut section, mut digit) = (0_u64, 0_u64, 0_u64);
    let mut length = 0;
    for &character in text.iter().take(16) {
        if let Some(value) = sino_digit(character) {
            if digit != 0 {
                break; // Two digits side by side are not a Sino-Korean number.
            }
            digit = value;
        } else if let Some(unit) = sino_unit(character) {
            if unit < 10_000 {
                section += digit.max(1) * unit;
            } else {
                total += (section + digit).max(1) * unit;
                section = 0;
            }
            digit = 0;
        } else {
            break;
        }
        length += 1;
    }
    (length > 0).then_some((length, total + section + digit))
}

/// Value of a Sino-Korean numeral: 이 → 2.
fn sino_digit(character: char) -> Option<u64> {
    "일이삼사오육칠팔구".chars().zip(1..).find(|(digit, _)| *digit == character).map(|(_, value)| value)
}

/// Multiplier of a Sino-Korean unit: 천 → 1,000.
fn sino_unit(character: char) -> Option<u64> {
    match character {
        '십' => Some(10),
        '백' => Some(100),
        '천' => Some(1_000),
        '만' => Some(10_000),
        '억' => Some(100_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn characters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn korean_numbers_are_read() {
        let sino =
            [("만원", 1, 10_000), ("삼천원", 2, 3_000), ("이만오천원", 4, 25_000), ("오백", 2, 500), ("십이개", 2, 12)];
        for (text, length, value) in sino {
            assert_eq!(sino_korean(&characters(text)), Some((length, value)), "{text}");
        }
        assert_eq!(sino_korean(&characters("가방")), None);
        let native = [("두 개", 1, 2), ("열두 개", 2, 12), ("스물다섯개", 4, 25), ("스무 장", 2, 20), ("다섯", 2, 5)];
        for (text, length, value) in native {
            assert_eq!(native_korean(&characters(text)), Some((length, value)), "{text}");
        }
        assert_eq!(native_korean(&characters("가방")), None);
    }

    #[test]
    fn english_numbers_are_read() {
        assert_eq!(english("twelve"), Some(12));
        assert_eq!(english("dozen"), None);
    }
}
