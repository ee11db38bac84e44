//! What a call gave, and how it came about.

use std::collections::BTreeMap;
use std::time::Duration;

use jangbogo_events::{InvalidValue, ModelRun, Text};
use serde::Deserialize;

/// A whole, valid answer, with what an event must say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion<T> {
    /// The answer.
    pub output: T,
    /// The model's id as the server says it; the one asked for if the server says none.
    pub model: String,
    /// The tokens of the last attempt; none if the server does not count.
    pub usage: Option<Usage>,
    /// SHA-256, in hexadecimal, of messages, schema and parameters. It says nothing about which server answered.
    pub prompt_hash: String,
    /// How it was asked: `format` (`text` or `json_schema`), `max_output_tokens`, `model`, and `schema` and `temperature` if
    /// there are any.
    pub parameters: BTreeMap<String, String>,
    /// Attempts it took, from 1.
    pub attempts: u32,
    /// Time it took, with all attempts and pauses.
    pub duration: Duration,
}

/// Tokens as the server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Those of the prompt.
    #[serde(default)]
    pub prompt_tokens: u32,
    /// Those of the answer.
    #[serde(default)]
    pub completion_tokens: u32,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn total(self) -> u32 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl<T> Completion<T> {
    /// What an event says about it. What is longer than an event allows is shortened.
    ///
    /// # Errors
    /// When an event cannot hold it even so.
    pub fn model_run(&self) -> Result<ModelRun, InvalidValue> {
        let parameters = self.parameters.iter().map(|(name, value)| Ok((text(name)?, text(value)?)));
        Ok(ModelRun {
            model: text(&self.model)?,
            prompt_hash: Some(text(&self.prompt_hash)?),
            parameters: parameters.collect::<Result<_, InvalidValue>>()?,
        })
    }
}

fn text<const MAX: usize>(text: &str) -> Result<Text<MAX>, InvalidValue> {
    Text::new(text.chars().filter(|character| *character != '\0').take(MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_can_hold_any_server_s_words() {
        let completion = Completion {
            output: (),
            model: "모델\0".repeat(100),
            usage: None,
            prompt_hash: "0".repeat(64),
            parameters: BTreeMap::from([("model".to_owned(), "m".repeat(1000))]),
            attempts: 1,
            duration: Duration::ZERO,
        };
        let run = completion.model_run().unwrap();
        assert_eq!(run.model.chars().count(), 128);
        assert_eq!(run.parameters.values().next().unwrap().len(), 256);
    }
}
