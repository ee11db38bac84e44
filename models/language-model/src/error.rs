//! Errors of calls.

use std::error::Error;
use std::time::{Duration, Instant};

use jangbogo_openai::is_servers_fault;

/// A call gave no answer: fall back to local rules. [`is_temporary`](Self::is_temporary) is true for
/// transient errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The bulkhead is full. Nothing was sent.
    #[error("too many calls in flight ({in_flight}): retry later, or raise LLM_MAX_IN_FLIGHT")]
    Busy {
        /// The maximum by the setting.
        in_flight: u16,
    },
    /// The circuit breaker is open. Nothing was sent.
    #[error("language model unavailable: its circuit breaker is open, and probes it later")]
    BreakerOpen {
        /// The time from which on a call may probe the server.
        until: Instant,
    },
    /// The token budget is spent. Nothing was sent.
    #[error("token budget spent: retry later, or raise LLM_TOKENS_PER_MINUTE")]
    BudgetSpent {
        /// The time when the budget will suffice for this call.
        until: Instant,
    },
    /// The answer, or its next chunk, did not arrive in time.
    #[error("{what} did not arrive within {limit:?}: check the server, or raise {setting}")]
    TimedOut {
        /// The answer or its chunk.
        what: &'static str,
        limit: Duration,
        /// The variable of the limit.
        setting: &'static str,
    },
    /// The server answered with an error status: from 500 on the server's fault; below, that of key, model or prompt.
    #[error("the server answered with status {status}: {body}: check OPENAI_API_KEY, OPENAI_MODEL and the prompt")]
    Refused {
        status: u16,
        /// The beginning of the response body.
        body: String,
    },
    /// The server's rate limit is reached, and its pause exceeds this call's deadline or attempts.
    #[error("rate limited by the server: {body}: retry later, or ask the provider for a higher limit")]
    RateLimited {
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
        /// The beginning of the response body.
        body: String,
    },
    /// The server cannot be reached, or its connection broke before the answer was complete.
    #[error("connection to the server failed: check OPENAI_BASE_URL and that the server is running")]
    Unreachable {
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is complete, but invalid.
    #[error("invalid answer: {why}: try another model or prompt")]
    InvalidOutput {
        /// The fault, without a quotation of the answer.
        why: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The server truncated the answer.
    #[error("the server truncated the answer ({reason}): shorten the prompt, or raise LLM_MAX_OUTPUT_TOKENS")]
    CutOff {
        /// The server's `finish_reason`, such as `length` or `content_filter`.
        reason: String,
    },
}

impl CallError {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::InvalidOutput { why: why.into(), source: None }
    }

    /// True if a retry of the same call may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::BreakerOpen { .. }
            | Self::BudgetSpent { .. }
            | Self::TimedOut { .. }
            | Self::RateLimited { .. }
            | Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => is_servers_fault(*status),
            Self::InvalidOutput { .. } | Self::CutOff { .. } => false,
        }
    }

    /// True if it is a failure of the server. A server that rejects a call, or whose model answers badly, is available.
    pub(crate) fn blames_server(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::RateLimited { .. } | Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => is_servers_fault(*status),
            Self::Busy { .. }
            | Self::BreakerOpen { .. }
            | Self::BudgetSpent { .. }
            | Self::InvalidOutput { .. }
            | Self::CutOff { .. } => false,
        }
    }

    /// Its label in metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::BudgetSpent { .. } => "budget_spent",
            Self::TimedOut { .. } => "timed_out",
            Self::Refused { .. } => "refused",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unreachable { .. } => "unreachable",
            Self::InvalidOutput { .. } => "invalid_output",
            Self::CutOff { .. } => "cut_off",
        }
    }
}

impl From<jangbogo_openai::Error> for CallError {
    fn from(error: jangbogo_openai::Error) -> Self {
        match error {
            jangbogo_openai::Error::Unreachable { source } => Self::Unreachable { source },
            jangbogo_openai::Error::RateLimited { retry_after, body } => Self::RateLimited { retry_after, body },
            jangbogo_openai::Error::Refused { status, body, .. } => Self::Refused { status, body },
            jangbogo_openai::Error::Unintelligible { why, source } => Self::InvalidOutput { why, source },
        }
    }
}

/// The settings of the language model are invalid.
#[derive(Debug, thiserror::Error)]
#[error("language model settings are invalid: check OPENAI_BASE_URL and OPENAI_API_KEY")]
pub struct SetupError(#[from] jangbogo_openai::SetupError);
