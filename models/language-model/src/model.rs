//! The language model: bulkhead, budget, circuit breaker and retries around attempts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest, ResponseFormat,
    ResponseFormatJsonSchema,
};
use jangbogo_openai::{OPENAI, Server};
use jangbogo_resilience::breaker::{Breaker, BreakerState, Permit, Thresholds};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::budget::Budget;
use crate::call::{Answered, Failed, Form, Json, Request, Streamed, Used};
use crate::completion::Completion;
use crate::error::{CallError, SetupError};
use crate::metrics::LanguageModelMetrics;
use crate::prompt::{Prompt, Role};
use crate::retry::Retries;
use crate::schema::Schema;
use crate::settings::Settings;

/// A large language model behind an OpenAI-compatible server. A process makes one, whose bulkhead, budget and breaker
/// its reactors share.
#[derive(Debug)]
pub struct LanguageModel {
    server: Server,
    settings: Settings,
    bulkhead: Semaphore,
    budget: Option<Budget>,
    breaker: Arc<Breaker>,
    metrics: LanguageModelMetrics,
}

impl LanguageModel {
    /// The language model of these settings; none if they name neither a server nor a key. Connects lazily.
    ///
    /// # Errors
    /// When a setting is invalid, or there are no certificate authorities.
    pub fn new(settings: &Settings, metrics: LanguageModelMetrics) -> Result<Option<Self>, SetupError> {
        let base_url = settings.base_url.as_deref().filter(|url| !url.is_empty());
        let api_key = settings.api_key.as_ref().filter(|key| !key.is_empty());
        if base_url.is_none() && api_key.is_none() {
            info!("no language model configured");
            return Ok(None);
        }
        Ok(Some(Self {
            server: Server::new(base_url.unwrap_or(OPENAI), api_key)?,
            bulkhead: Semaphore::new(settings.max_in_flight.into()),
            budget: Budget::new(settings.tokens_per_minute, Instant::now()),
            breaker: Arc::new(Breaker::new(Thresholds {
                failure_rate: settings.breaker_share,
                min_calls: settings.breaker_calls.into(),
                window: settings.breaker_window,
                consecutive_failures: None,
                min_pause: settings.breaker_pause,
                max_pause: settings.breaker_pause.saturating_mul(10),
                probe_timeout: settings.time_limit,
            })),
            settings: settings.clone(),
            metrics,
        }))
    }

    /// Requests one value. It is valid against the schema, and of the type; one invalid answer is retried.
    ///
    /// # Errors
    /// When there is no valid answer within the time limit.
    pub async fn complete_json<T: DeserializeOwned + Send>(
        &self,
        prompt: &Prompt,
        schema: &Schema,
    ) -> Result<Completion<T>, CallError> {
        self.call(self.request(prompt, Some(schema)), Json::new(schema)).await
    }

    /// Requests text, and hands over its chunks as they arrive, each once and in order. Together they are the output.
    /// After an error they are void: the answer is incomplete.
    ///
    /// `on_chunk` runs between two reads from the connection: it must not block.
    ///
    /// # Errors
    /// When there is no complete answer within the time limit.
    pub async fn stream_text(
        &self,
        prompt: &Prompt,
        on_chunk: impl FnMut(&str) + Send,
    ) -> Result<Completion<String>, CallError> {
        let mut request = self.request(prompt, None);
        request.body.stream = Some(true);
        request.body.stream_options =
            Some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None });
        self.call(request, Streamed::new(on_chunk, self.settings.piece_limit)).await
    }

    /// The `prompt_hash` of a [`Completion`] of this prompt.
    #[must_use]
    pub fn prompt_hash(&self, prompt: &Prompt, schema: &Schema) -> String {
        self.request(prompt, Some(schema)).prompt_hash
    }

    /// The state of the circuit breaker.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    fn request(&self, prompt: &Prompt, schema: Option<&Schema>) -> Request {
        let max_output_tokens = self.settings.max_output_tokens;
        let mut parameters = BTreeMap::from([
            ("format".to_owned(), if schema.is_some() { "json_schema" } else { "text" }.to_owned()),
            ("max_output_tokens".to_owned(), max_output_tokens.to_string()),
            ("model".to_owned(), self.settings.model.clone()),
        ]);
        parameters.extend(schema.map(|schema| ("schema".to_owned(), schema.name().to_owned())));
        let temperature = self.settings.temperature.0;
        parameters.extend(temperature.map(|temperature| ("temperature".to_owned(), temperature.to_string())));
        let mut messages: Vec<ChatCompletionRequestMessage> =
            vec![ChatCompletionRequestSystemMessage::from(prompt.system.as_str()).into()];
        messages.extend(prompt.messages.iter().map(|(role, content)| match role {
            Role::User => ChatCompletionRequestUserMessage::from(content.as_str()).into(),
            Role::Assistant => ChatCompletionRequestAssistantMessage::from(content.as_str()).into(),
        }));
        let mut body = CreateChatCompletionRequest {
            model: self.settings.model.clone(),
            messages,
            temperature,
            response_format: schema.map(|schema| ResponseFormat::JsonSchema {
                json_schema: ResponseFormatJsonSchema {
                    name: schema.name().to_owned(),
                    description: None,
                    schema: schema.value().clone(),
                    strict: Some(true),
                },
            }),
            ..CreateChatCompletionRequest::default()
        };
        limit_output(&mut body, max_output_tokens, self.server.is_openai());
        Request {
            prompt_hash: prompt.hash(schema.map(Schema::value), &parameters),
            tokens: prompt.estimated_tokens().saturating_add(max_output_tokens),
            body,
            parameters,
        }
    }

    async fn call<F: Form>(&self, request: Request, mut form: F) -> Result<Completion<F::Output>, CallError> {
        let began = Instant::now();
        let mut guard = OutcomeGuard { metrics: &self.metrics, form: F::NAME, outcome: "abandoned" };
        let result = match self.bulkhead.try_acquire() {
            Ok(_permit) => {
                let _flight = InFlightGuard::new(&self.metrics);
                self.attempts(&request, &mut form, began).await
            }
            Err(_) => Err(CallError::Busy { in_flight: self.settings.max_in_flight }),
        };
        guard.outcome = result.as_ref().map_or_else(CallError::outcome, |_| "answered");
        let (answered, attempts) = result?;
        Ok(Completion {
            output: answered.output,
            model: answered.model.filter(|model| !model.is_empty()).unwrap_or_else(|| self.settings.model.clone()),
            usage: answered.usage,
            prompt_hash: request.prompt_hash,
            parameters: request.parameters,
            attempts,
            duration: began.elapsed(),
        })
    }

    async fn attempts<F: Form>(
        &self,
        request: &Request,
        form: &mut F,
        began: Instant,
    ) -> Result<(Answered<F::Output>, u32), CallError> {
        let deadline = began + self.settings.time_limit;
        let mut retries = Retries::new(&self.settings);
        let mut attempts = 0;
        let mut previous_error: Option<CallError> = None;
        loop {
            let permit = match self.admit(request) {
                Ok(permit) => permit,
                // The error of the previous attempt is more specific than the rejection.
                Err(error) => return Err(previous_error.unwrap_or(error)),
            };
            attempts += 1;
            let error = match self.attempt(request, form, deadline, permit).await {
                Ok(answered) => return Ok((answered, attempts)),
                Err(error) => error,
            };
            let pause = if form.has_begun() { None } else { retries.pause(&error) };
            let Some(pause) = pause else { return Err(error) };
            if pause >= deadline.saturating_duration_since(Instant::now()) {
                return Err(error);
            }
            warn!(%error, attempts, pause_seconds = pause.as_secs_f64(), "retrying the language model");
            self.metrics.language_model_retries_total.with_label_values(&[error.outcome()]).inc();
            tokio::time::sleep(pause).await;
            previous_error = Some(error);
        }
    }

    /// Admits an attempt by budget and breaker. The breaker comes last: an admitted probe must be sent.
    fn admit(&self, request: &Request) -> Result<Permit, CallError> {
        if let Some(budget) = &self.budget {
            budget.take(request.tokens, Instant::now()).map_err(|until| CallError::BudgetSpent { until })?;
        }
        let permit = self.breaker.admit();
        self.show_state();
        permit.map_err(|until| {
            self.settle(request, Used::Nothing);
            CallError::BreakerOpen { until }
        })
    }

    async fn attempt<F: Form>(
        &self,
        request: &Request,
        form: &mut F,
        deadline: Instant,
        permit: Permit,
    ) -> Result<Answered<F::Output>, CallError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let attempted = tokio::time::timeout(left, form.attempt(&self.server, request)).await;
        let result = attempted.unwrap_or_else(|_| {
            let (what, limit) = ("the complete answer", self.settings.time_limit);
            Err(Failed { error: CallError::TimedOut { what, limit, setting: "LLM_TIMEOUT" }, used: Used::Unknown })
        });
        match result {
            Ok(answered) => {
                self.settle(request, answered.usage.into());
                self.report(permit, None);
                Ok(answered)
            }
            Err(Failed { error, used }) => {
                self.settle(request, used);
                self.report(permit, Some(&error));
                Err(error)
            }
        }
    }

    /// Reports an outcome to the breaker. Invalid answers and rejected calls come from a healthy server.
    fn report(&self, permit: Permit, error: Option<&CallError>) {
        match error.filter(|error| error.blames_server()) {
            Some(error) => {
                if permit.failed() {
                    let pause = self.settings.breaker_pause;
                    warn!(%error, ?pause, "language model unavailable: circuit breaker opened");
                }
            }
            None => {
                if permit.succeeded() {
                    info!("language model recovered: circuit breaker closed");
                }
            }
        }
        self.show_state();
    }

    fn show_state(&self) {
        self.metrics.language_model_breaker_state.set(self.state().metric());
    }

    fn settle(&self, request: &Request, used: Used) {
        let tokens = match used {
            Used::Nothing => 0,
            // The maximum stays taken.
            Used::Unknown => request.tokens,
            Used::Counted(usage) => {
                let counter = &self.metrics.language_model_tokens_total;
                counter.with_label_values(&["prompt"]).inc_by(usage.prompt_tokens.into());
                counter.with_label_values(&["answer"]).inc_by(usage.completion_tokens.into());
                usage.total()
            }
        };
        if let Some(budget) = &self.budget {
            budget.settle(request.tokens, tokens, Instant::now());
        }
    }
}

fn limit_output(body: &mut CreateChatCompletionRequest, tokens: u32, is_openai: bool) {
    if is_openai {
        body.max_completion_tokens = Some(tokens);
    } else {
        #[expect(deprecated, reason = "deprecated at OpenAI; most other servers have only this field")]
        {
            body.max_tokens = Some(tokens);
        }
    }
}

/// Counts a call when it ends, also when its caller drops it.
struct OutcomeGuard<'a> {
    metrics: &'a LanguageModelMetrics,
    form: &'static str,
    outcome: &'static str,
}

impl Drop for OutcomeGuard<'_> {
    fn drop(&mut self) {
        self.metrics.language_model_calls_total.with_label_values(&[self.form, self.outcome]).inc();
    }
}

/// Counts a call while it is in flight, and measures its duration.
struct InFlightGuard<'a> {
    metrics: &'a LanguageModelMetrics,
    began: Instant,
}

impl<'a> InFlightGuard<'a> {
    fn new(metrics: &'a LanguageModelMetrics) -> Self {
        metrics.language_model_in_flight.inc();
        Self { metrics, began: Instant::now() }
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.metrics.language_model_in_flight.dec();
        self.metrics.language_model_call_seconds.observe(self.began.elapsed().as_secs_f64());
    }
}
