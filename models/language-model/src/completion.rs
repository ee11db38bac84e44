//! The result of a call.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

/// A complete, valid answer, and how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion<T> {
    pub output: T,
    /// The model's id as the server names it; the requested one if the server names none.
    pub model: String,
    /// The tokens of the last attempt; none if the server does not count.
    pub usage: Option<Usage>,
    /// SHA-256, in hexadecimal, of messages, schema and parameters. It does not depend on the server.
    pub prompt_hash: String,
    /// `format` (`text` or `json_schema`), `max_output_tokens`, `model`, and `schema` and `temperature` if there are
    /// any.
    pub parameters: BTreeMap<String, String>,
    /// Number of attempts, from 1.
    pub attempts: u32,
    /// Duration of the call, with all attempts and pauses.
    pub duration: Duration,
}

/// Tokens as the server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u32,
}

impl Usage {
    /// Tokens of prompt and answer together.
    #[must_use]
    pub fn total(self) -> u32 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}
