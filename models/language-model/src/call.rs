//! The two forms of a call: one JSON value, or streamed text. Each makes single attempts.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use async_openai::types::chat::CreateChatCompletionRequest;
use futures::StreamExt as _;
use jangbogo_openai::Server;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::chat::{Answer, Message};
use crate::completion::Usage;
use crate::error::CallError;
use crate::schema::Schema;

/// Time to wait for the token count after the end of a streamed answer.
const USAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// The request of a call, the same in all attempts.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) body: CreateChatCompletionRequest,
    pub(crate) prompt_hash: String,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Maximum tokens that an attempt may use.
    pub(crate) tokens: u32,
}

/// A complete, valid answer.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) output: T,
    pub(crate) model: Option<String>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: CallError,
    pub(crate) used: Used,
}

/// Tokens used by an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    /// The model did not start.
    Nothing,
    /// The model may have used tokens.
    Unknown,
    /// Counted by the server.
    Counted(Usage),
}

impl From<Option<Usage>> for Used {
    fn from(usage: Option<Usage>) -> Self {
        usage.map_or(Self::Unknown, Self::Counted)
    }
}

/// A form of a call.
pub(crate) trait Form: Send {
    type Output: Send;
    /// Its label in metrics.
    const NAME: &'static str;

    fn attempt(
        &mut self,
        server: &Server,
        request: &Request,
    ) -> impl Future<Output = Result<Answered<Self::Output>, Failed>> + Send;

    /// True if a part of the answer was handed over, so that a retry would repeat it.
    fn has_begun(&self) -> bool;
}

/// One JSON value by a schema.
#[derive(Debug)]
pub(crate) struct Json<'a, T> {
    schema: &'a Schema,
    output: PhantomData<fn() -> T>,
}

impl<'a, T> Json<'a, T> {
    pub(crate) fn new(schema: &'a Schema) -> Self {
        Self { schema, output: PhantomData }
    }
}

impl<T: DeserializeOwned + Send> Form for Json<'_, T> {
    type Output = T;
    const NAME: &'static str = "json";

    async fn attempt(&mut self, server: &Server, request: &Request) -> Result<Answered<T>, Failed> {
        let mut answer: Answer = server.complete(&request.body).await.map_err(failed_before_answer)?;
        let usage = answer.usage;
        let parsed = match answer.choice() {
            Some(choice) => answer::check_finished(choice.finish_reason.as_deref())
                .and_then(|()| text(choice.message.unwrap_or_default()))
                .and_then(|text| answer::parse(&text, self.schema)),
            None => Err(CallError::invalid("the response has no choices")),
        };
        match parsed {
            Ok(output) => Ok(Answered { output, model: answer.model, usage }),
            Err(error) => Err(Failed { error, used: usage.into() }),
        }
    }

    fn has_begun(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(crate) struct Streamed<F> {
    on_chunk: F,
    piece_limit: Duration,
    has_begun: bool,
}

impl<F> Streamed<F> {
    pub(crate) fn new(on_chunk: F, piece_limit: Duration) -> Self {
        Self { on_chunk, piece_limit, has_begun: false }
    }
}

impl<F: FnMut(&str) + Send> Form for Streamed<F> {
    type Output = String;
    const NAME: &'static str = "text";

    async fn attempt(&mut self, server: &Server, request: &Request) -> Result<Answered<String>, Failed> {
        let mut due = Instant::now() + self.piece_limit;
        let late = || CallError::TimedOut {
            what: "the next chunk of the answer",
            limit: self.piece_limit,
            setting: "LLM_PIECE_TIMEOUT",
        };
        let Ok(chunks) = timeout_at(due, server.stream::<Answer>(&request.body)).await else {
            return Err(Failed { error: late(), used: Used::Unknown });
        };
        let mut chunks = chunks.map_err(failed_before_answer)?;
        let mut answered = Answered { output: String::new(), model: None, usage: None };
        let mut finish_reason: Option<String> = None;
        loop {
            let mut chunk = match timeout_at(due, chunks.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                // The answer is complete; only the token count is missing.
                _ if finish_reason.is_some() => break,
                Ok(Some(Err(error))) => return Err(Failed { error: error.into(), used: Used::Unknown }),
                Ok(None) => {
                    let source = "the stream ended before the answer was complete".into();
                    return Err(Failed { error: CallError::Unreachable { source }, used: Used::Unknown });
                }
                Err(_) => return Err(Failed { error: late(), used: Used::Unknown }),
            };
            answered.model = chunk.model.take().or(answered.model);
            answered.usage = chunk.usage.or(answered.usage);
            let Some(choice) = chunk.choice() else { continue };
            match choice.message.map(text) {
                Some(Ok(text)) if !text.is_empty() => {
                    self.has_begun = true;
                    (self.on_chunk)(&text);
                    answered.output.push_str(&text);
                }
                Some(Err(error)) => return Err(Failed { error, used: Used::Unknown }),
                _ => {}
            }
            if self.has_begun {
                due = Instant::now() + self.piece_limit;
            }
            if choice.finish_reason.is_some() {
                finish_reason = choice.finish_reason;
                due = Instant::now() + USAGE_TIMEOUT;
            }
        }
        let finished = answer::check_finished(finish_reason.as_deref()).and_then(|()| {
            if answered.output.trim().is_empty() { Err(CallError::invalid("it is empty")) } else { Ok(()) }
        });
        match finished {
            Ok(()) => Ok(answered),
            Err(error) => Err(Failed { error, used: answered.usage.into() }),
        }
    }

    fn has_begun(&self) -> bool {
        self.has_begun
    }
}

/// The text of an answer or a chunk.
fn text(message: Message) -> Result<String, CallError> {
    match message.refusal {
        Some(refusal) if !refusal.is_empty() => Err(CallError::invalid("the model declined to answer")),
        _ => Ok(message.content.unwrap_or_default()),
    }
}

/// A failure before the first byte of an answer.
fn failed_before_answer(error: jangbogo_openai::Error) -> Failed {
    let used = match error {
        jangbogo_openai::Error::Unintelligible { .. } => Used::Unknown,
        _ => Used::Nothing,
    };
    Failed { error: error.into(), used }
}
