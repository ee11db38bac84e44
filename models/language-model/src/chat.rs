//! Chat completions, whole or streamed, as servers send them: they omit many of OpenAI's fields.

use serde::Deserialize;

use crate::completion::Usage;

/// A completion, or one chunk of a streamed one.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) model: Option<String>,
    choices: Option<Vec<Choice>>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    #[serde(alias = "delta")]
    pub(crate) message: Option<Message>,
    pub(crate) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Message {
    pub(crate) content: Option<String>,
    /// Set instead of the content if the model declines to answer.
    pub(crate) refusal: Option<String>,
}

impl Answer {
    /// The only choice requested, if it is present.
    pub(crate) fn choice(&mut self) -> Option<Choice> {
        self.choices.take().and_then(|choices| choices.into_iter().next())
    }
}
