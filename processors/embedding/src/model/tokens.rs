//! Texts become tokens.

use tokenizers::{Tokenizer, TruncationParams};

use super::error::ModelError;

/// The tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Their numbers in the model's vocabulary.
    pub ids: Vec<u32>,
    /// Whether the text is longer than the model reads.
    pub truncated: bool,
}

impl Tokens {
    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// A tokenizer that cuts texts off where the model stops reading.
pub(super) struct TextTokenizer(Tokenizer);

impl TextTokenizer {
    /// Reads `tokenizer.json`.
    pub(super) fn new(file: &[u8], max_tokens: usize) -> Result<Self, ModelError> {
        let mut tokenizer = Tokenizer::from_bytes(file).map_err(ModelError::Tokenizer)?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(ModelError::Tokenizer)?;
        Ok(Self(tokenizer))
    }

    pub(super) fn tokenise(&self, text: &str) -> Result<Tokens, ModelError> {
        let encoding = self.0.encode_fast(text, true).map_err(ModelError::Tokenizer)?;
        Ok(Tokens { ids: encoding.get_ids().to_vec(), truncated: !encoding.get_overflowing().is_empty() })
    }
}
