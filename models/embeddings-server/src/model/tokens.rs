//! Tokenisation.

use tokenizers::{Tokenizer, TruncationParams};

use super::error::ModelError;

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Indices into the model's vocabulary.
    pub ids: Vec<u32>,
    /// True if the text had more tokens than the model reads.
    pub truncated: bool,
}

impl Tokens {
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

pub trait Tokenise: Send + Sync {
    /// The tokens of a text, truncated to the model's maximum.
    ///
    /// # Errors
    /// When the tokenizer fails.
    fn tokenise(&self, text: &str) -> Result<Tokens, ModelError>;
}

/// A tokenizer that truncates to the model's maximum.
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
}

/// Bytes per token that are tokenised at first: more than most texts take.
const BYTES_PER_TOKEN: usize = 16;

impl TextTokenizer {
    pub(super) fn new(file: &[u8], max_tokens: usize) -> Result<Self, ModelError> {
        let mut tokenizer = Tokenizer::from_bytes(file).map_err(ModelError::Tokenizer)?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(ModelError::Tokenizer)?;
        Ok(Self { tokenizer, max_tokens })
    }

    /// Size of vocabulary that a network needs: the highest index plus one, for indices may have gaps.
    pub(super) fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |highest| highest as usize + 1)
    }
}

impl Tokenise for TextTokenizer {
    fn tokenise(&self, text: &str) -> Result<Tokens, ModelError> {
        let mut bytes = self.max_tokens * BYTES_PER_TOKEN;
        loop {
            let beginning = beginning(text, bytes);
            let encoding = self.tokenizer.encode_fast(beginning, true).map_err(ModelError::Tokenizer)?;
            let truncated = !encoding.get_overflowing().is_empty();
            if truncated || beginning.len() == text.len() {
                return Ok(Tokens { ids: encoding.get_ids().to_vec(), truncated });
            }
            // The beginning had much white space, or long words.
            bytes *= 8;
        }
    }
}

/// A text's first `bytes` bytes, up to white space if there is any.
fn beginning(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let cut = &text[..text.floor_char_boundary(bytes)];
    cut.rfind(char::is_whitespace).filter(|end| *end > 0).map_or(cut, |end| &cut[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_words() {
        assert_eq!(beginning("one two three", 20), "one two three");
        assert_eq!(beginning("one two three", 10), "one two");
        assert_eq!(beginning("한국어문장", 7), "한국");
        assert_eq!(beginning(" abcdef", 4), " abc");
    }
}
