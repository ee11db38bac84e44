//! Derives a product's category from keywords in a text about it.
//!
//! A file's rules are tried from top to bottom and the first one with a keyword in the text wins. A keyword matches
//! whole words, in capitals and without punctuation, in the singular or with an `S`; `T LIGHT` therefore matches
//! `T-LIGHTS`.

mod electronics;
mod online_retail;

pub use self::electronics::RULES as ELECTRONICS;
pub use self::online_retail::RULES as ONLINE_RETAIL;

/// A category and its keywords.
pub type Rule = (&'static str, &'static [&'static str]);

/// The category of products that match no rule.
pub const OTHER: &str = "other";

/// The category of the first rule with a keyword in the text.
pub fn find(rules: &[Rule], text: &str) -> Option<&'static str> {
    let words = words(text);
    let (category, _) = rules.iter().find(|(_, keywords)| keywords.iter().any(|keyword| contains(&words, keyword)))?;
    Some(category)
}

/// The text's words in capitals, each with a space before it and one after the last: `" RED T LIGHT "`.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 2);
    words.push(' ');
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            words.push(character.to_ascii_uppercase());
        } else if character != '\'' && !words.ends_with(' ') {
            words.push(' ');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

/// True if the words contain the keyword between spaces, as it is or with an `S`.
fn contains(words: &str, keyword: &str) -> bool {
    words.match_indices(keyword).any(|(start, _)| {
        let after = &words[start + keyword.len()..];
        words[..start].ends_with(' ') && (after.starts_with(' ') || after.starts_with("S "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_rule_wins() {
        let cases = [
            ("LUNCH BAG RED RETROSPOT", Some("bags")),
            ("WHITE HANGING HEART T-LIGHT HOLDER", Some("candles")),
            ("60 CAKE CASES VINTAGE CHRISTMAS", Some("christmas")),
            ("BATHROOM METAL SIGN", Some("signs")),
            ("SET/2 RED SPOTTY TEA TOWELS ", Some("kitchen")),
            ("RED SPOTTY CUP", Some("tea-and-coffee")),
            ("REGENCY CAKESTAND 3 TIER", Some("baking")),
            ("PINK FAIRY CAKE CHILD'S APRON", Some("baking")),
            ("Dr. Jam's Arouzer Stress Ball", Some("toys-and-games")),
            ("BIG PINK POODLE", None),
            ("", None),
            ("é ' \u{1f}", None),
        ];
        for (title, category) in cases {
            assert_eq!(find(ONLINE_RETAIL, title), category, "{title}");
        }
    }

    #[test]
    fn rules_of_accessories_come_before_those_of_devices() {
        let cases = [
            ("Tripp Lite Cat6 Gigabit Snagless Patch Cable - Blue", Some("cables")),
            ("C2G USB KVM Cable", Some("cables")),
            ("APC 16 Port Rack-Mount KVM Switch", Some("kvm-switches")),
            ("Brother TZ-231 label-making tape", Some("labels")),
            ("Brother QL-500 label printer", Some("label-printers")),
            ("Xerox 006R90321 toner cartridge Original Black", Some("toner-and-ink")),
            ("Canon BCI-6Y Original", Some("toner-and-ink")),
            ("OKI 44315107 printer drum Original", Some("printer-parts")),
            ("Targus 15.4\" notebook case Black", Some("bags-and-cases")),
            ("HP Compaq 6530b Notebook PC", Some("notebooks")),
            ("NEC VT40LP projector lamp", Some("projectors")),
            ("B-Tech BTEBT332", None),
        ];
        for (title, category) in cases {
            assert_eq!(find(ELECTRONICS, title), category, "{title}");
        }
    }

    #[test]
    fn only_whole_words_match() {
        assert_eq!(find(ONLINE_RETAIL, "BAGUETTE"), None);
        assert_eq!(find(ONLINE_RETAIL, "HANDBAGS"), Some("bags"));
        assert_eq!(find(ONLINE_RETAIL, "PENS"), Some("stationery"));
        assert_eq!(find(ONLINE_RETAIL, "OPENED"), None);
    }

    #[test]
    fn no_keyword_is_written_in_a_way_that_cannot_match() {
        for keyword in ONLINE_RETAIL.iter().chain(ELECTRONICS).flat_map(|(_, keywords)| *keywords) {
            assert_eq!(words(keyword), format!(" {keyword} "));
        }
    }
}
