//! A chat's next message, whole or in pieces, as servers send it. They leave out much of what OpenAI sends.

use serde::Deserialize;

use crate::completion::Usage;

/// One answer, or one piece of it.
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
    /// Why the model declines to answer.
    pub(crate) refusal: Option<String>,
}

impl Answer {
    /// The one choice that was asked for, if there is any yet.
    pub(crate) fn choice(&mut self) -> Option<Choice> {
        self.choices.take().and_then(|choices| choices.into_iter().next())
    }
}
