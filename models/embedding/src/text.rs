//! Texts as they are taken: what is refused, and their hashes.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The longest text that is taken, in bytes of UTF-8. The model reads no more than the beginning of it.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// What a text is embedded for. Some models were taught to tell these apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To look for others, or to be compared with its like.
    #[default]
    Query,
    /// To be found.
    Passage,
}

/// What stands before a text when it is embedded; nothing for a model that was not taught to tell purposes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// Before a [`Purpose::Query`].
    pub query: &'static str,
    /// Before a [`Purpose::Passage`].
    pub passage: &'static str,
}

impl Prompts {
    /// Of a model that has none.
    pub const NONE: Self = Self { query: "", passage: "" };

    /// The text as the model is to read it. One that has a prompt already keeps it: clients made for such a model write it
    /// themselves.
    #[must_use]
    pub fn before<'a>(&self, purpose: Purpose, text: &'a str) -> Cow<'a, str> {
        let prompt = match purpose {
            Purpose::Query => self.query,
            Purpose::Passage => self.passage,
        };
        let has_one = |prompt: &str| !prompt.is_empty() && text.starts_with(prompt);
        if prompt.is_empty() || has_one(self.query) || has_one(self.passage) {
            return text.into();
        }
        format!("{prompt}{text}").into()
    }
}

/// Why a text is not embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is too long.
    #[error("has {bytes} bytes of UTF-8, more than {MAX_TEXT_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds what no text does.
    #[error("has the control character U+{:04X} at byte {at}; only tab, line feed and carriage return are allowed", u32::from(*character))]
    ControlCharacter {
        /// The character.
        character: char,
        /// Where, in bytes.
        at: usize,
    },
}

/// Checks that `text` can be embedded: 1 to [`MAX_TEXT_BYTES`] bytes, something besides white space, no control
/// characters but tab, line feed and carriage return.
///
/// # Errors
/// What is wrong with it.
pub fn check_text(text: &str) -> Result<(), InvalidText> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(InvalidText::TooLong { bytes: text.len() });
    }
    if text.trim().is_empty() {
        return Err(InvalidText::Empty);
    }
    let is_refused = |character: char| character.is_control() && !matches!(character, '\t' | '\n' | '\r');
    match text.char_indices().find(|(_, character)| is_refused(*character)) {
        Some((at, character)) => Err(InvalidText::ControlCharacter { character, at }),
        None => Ok(()),
    }
}

/// The SHA-256 of a text, in lower-case hexadecimal digits, as events record it.
#[must_use]
pub fn text_hash(text: &str) -> String {
    hexadecimal(&Sha256::digest(text))
}

/// The key of a text's vector in a cache: the SHA-256 of model and text.
pub type TextKey = [u8; 32];

/// The key of a text's vector in a cache.
pub fn text_key(model: &str, text: &str) -> TextKey {
    // No name of a model holds a NUL, so no other pair gives the same bytes.
    Sha256::new_with_prefix(model).chain_update([0]).chain_update(text).finalize().into()
}

/// `bytes` in lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_as_people_write_them() {
        for text in ["a", "두 줄\n로\t된 글\r\n", "🎁", &"x".repeat(MAX_TEXT_BYTES)] {
            assert_eq!(check_text(text), Ok(()));
        }
    }

    #[test]
    fn what_is_no_text_is_refused_and_says_why() {
        let message = |text: &str| check_text(text).unwrap_err().to_string();
        assert_eq!(message(""), "is empty");
        assert_eq!(message(" \n\u{3000}"), "is empty");
        assert_eq!(message(&"한".repeat(350_000)), "has 1050000 bytes of UTF-8, more than 1048576");
        assert!(message("가\0").starts_with("has the control character U+0000 at byte 3;"));
        assert!(message("a\u{1b}[31m").starts_with("has the control character U+001B at byte 1;"));
        assert!(message("\u{85}a").starts_with("has the control character U+0085 at byte 0;"));
    }

    #[test]
    fn a_prompt_stands_before_a_text_once() {
        let prompts = Prompts { query: "query: ", passage: "passage: " };
        assert_eq!(prompts.before(Purpose::Query, "가방"), "query: 가방");
        assert_eq!(prompts.before(Purpose::Passage, "가방"), "passage: 가방");
        assert_eq!(prompts.before(Purpose::Query, "passage: 가방"), "passage: 가방");
        assert_eq!(Prompts::NONE.before(Purpose::Passage, "가방"), "가방");
        let of_queries = Prompts { query: "find: ", passage: "" };
        assert_eq!(of_queries.before(Purpose::Query, "가방"), "find: 가방");
        assert_eq!(of_queries.before(Purpose::Passage, "가방"), "가방");
    }

    #[test]
    fn a_hash_is_the_text_s_and_a_key_the_model_s_too() {
        assert_eq!(text_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(text_key("model", "abc"), text_key("modela", "bc"));
        assert_ne!(text_key("model", "abc"), text_key("other", "abc"));
    }
}
