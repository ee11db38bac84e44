//! Checks, prompts and hashes of texts.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Maximum length of a text, in bytes of UTF-8. A model reads only the beginning of a long text.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// Purpose of an embedding. Some models are trained to distinguish them by prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To search for passages, or to be compared with other queries.
    #[default]
    Query,
    /// To be found by queries.
    Passage,
}

/// Prefixes of texts by purpose; empty for a model that is not trained with prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// Prefix of a [`Purpose::Query`].
    pub query: &'static str,
    /// Prefix of a [`Purpose::Passage`].
    pub passage: &'static str,
}

impl Prompts {
    pub const NONE: Self = Self { query: "", passage: "" };

    /// The text with its prompt. A text that begins with a prompt is left as it is: some clients write prompts
    /// themselves.
    #[must_use]
    pub fn before<'a>(&self, purpose: Purpose, text: &'a str) -> Cow<'a, str> {
        let prompt = match purpose {
            Purpose::Query => self.query,
            Purpose::Passage => self.passage,
        };
        let begins_with = |prompt: &str| !prompt.is_empty() && text.starts_with(prompt);
        if prompt.is_empty() || begins_with(self.query) || begins_with(self.passage) {
            return text.into();
        }
        format!("{prompt}{text}").into()
    }
}

/// A text is not embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Empty, or only white space.
    #[error("is empty")]
    Empty,
    #[error("has {bytes} bytes of UTF-8, more than {MAX_TEXT_BYTES}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Contains a control character.
    #[error(
        "has the control character U+{:04X} at byte {at}; only tab, line feed and carriage return are allowed",
        u32::from(*character)
    )]
    ControlCharacter {
        character: char,
        /// Its position, in bytes.
        at: usize,
    },
}

/// Checks that `text` can be embedded: 1 to [`MAX_TEXT_BYTES`] bytes, something besides white space, no control
/// characters but tab, line feed and carriage return.
///
/// # Errors
/// When the text is invalid.
pub fn check_text(text: &str) -> Result<(), InvalidText> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(InvalidText::TooLong { bytes: text.len() });
    }
    if text.trim().is_empty() {
        return Err(InvalidText::Empty);
    }
    let is_forbidden = |character: char| character.is_control() && !matches!(character, '\t' | '\n' | '\r');
    match text.char_indices().find(|(_, character)| is_forbidden(*character)) {
        Some((at, character)) => Err(InvalidText::ControlCharacter { character, at }),
        None => Ok(()),
    }
}

/// The SHA-256 of a text, in lower-case hexadecimal digits, as events record it.
#[must_use]
pub fn text_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The key of a text's vector in a cache: the SHA-256 of model and text.
pub type TextKey = [u8; 32];

/// The SHA-256 of model and text.
pub(crate) fn text_key(model: &str, text: &str) -> TextKey {
    // No model id contains a NUL, so that no two pairs give the same bytes.
    Sha256::new_with_prefix(model).chain_update([0]).chain_update(text).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_texts_are_accepted() {
        for text in ["a", "두 줄\n로\t된 글\r\n", "🎁", &"x".repeat(MAX_TEXT_BYTES)] {
            assert_eq!(check_text(text), Ok(()));
        }
    }

    #[test]
    fn invalid_texts_are_refused_with_a_reason() {
        let message = |text: &str| check_text(text).unwrap_err().to_string();
        assert_eq!(message(""), "is empty");
        assert_eq!(message(" \n\u{3000}"), "is empty");
        assert_eq!(message(&"한".repeat(350_000)), "has 1050000 bytes of UTF-8, more than 1048576");
        assert!(message("가\0").starts_with("has the control character U+0000 at byte 3;"));
        assert!(message("a\u{1b}[31m").starts_with("has the control character U+001B at byte 1;"));
        assert!(message("\u{85}a").starts_with("has the control character U+0085 at byte 0;"));
    }

    #[test]
    fn a_prompt_is_put_before_a_text_once() {
        let prompts = Prompts { query: "query: ", passage: "passage: " };
        assert_eq!(prompts.before(Purpose::Query, "가방"), "query: 가방");
        assert_eq!(prompts.before(Purpose::Passage, "가방"), "passage: 가방");
        assert_eq!(prompts.before(Purpose::Query, "passage: 가방"), "passage: 가방");
        assert_eq!(Prompts::NONE.before(Purpose::Passage, "가방"), "가방");
        let for_queries = Prompts { query: "find: ", passage: "" };
        assert_eq!(for_queries.before(Purpose::Query, "가방"), "find: 가방");
        assert_eq!(for_queries.before(Purpose::Passage, "가방"), "가방");
    }

    #[test]
    fn a_key_depends_on_model_and_text() {
        assert_eq!(text_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(text_key("model", "abc"), text_key("modela", "bc"));
        assert_ne!(text_key("model", "abc"), text_key("other", "abc"));
    }
}
