//! Why a call gave nothing, and what to do about it.

use std::error::Error;
use std::time::{Duration, Instant};

use jangbogo_openai::is_servers_fault;

/// Why a call gave no answer. Fall back to the local analyser in every case; [`is_temporary`](Self::is_temporary) says
/// whether the same call may go better later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The bulkhead is full. Nothing was sent.
    #[error("{in_flight} calls are in flight, as many as may be: call later, or raise LLM_MAX_IN_FLIGHT")]
    Busy {
        /// As many as the setting allows.
        in_flight: u16,
    },
    /// The server has failed too often of late. Nothing was sent.
    #[error("the language model's server has failed too often: look after it; it is probed again by itself")]
    BreakerOpen {
        /// When the next call may probe it.
        until: Instant,
    },
    /// The tokens of this minute are spent. Nothing was sent.
    #[error("the budget of tokens is spent: call later, or raise LLM_TOKENS_PER_MINUTE")]
    BudgetSpent {
        /// When enough of it will have come back for this call.
        until: Instant,
    },
    /// The answer, or its next piece, did not come in time.
    #[error("{what} did not come within {limit:?}: look after the server, or raise {setting}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
        /// The setting that says so.
        setting: &'static str,
    },
    /// The server answered with an error. From 500 on it is the server's; below, the call's own: look at key, model and
    /// prompt.
    #[error("the server refuses with status {status}: {body}: check OPENAI_API_KEY, OPENAI_MODEL and the prompt")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// The server allows no more calls for now, and its pause reaches beyond this call's deadline or its attempts.
    #[error("the server limits the rate of calls: {body}: call later, or ask the provider for more")]
    RateLimited {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// The beginning of what it said.
        body: String,
    },
    /// The server cannot be reached, or its connection broke before the answer was complete.
    #[error("the connection to the server fails: check OPENAI_BASE_URL and that the server is up")]
    Unreachable {
        /// What the connection says.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is complete, but not what was asked for.
    #[error("the answer is not usable: {why}: try another model or prompt")]
    InvalidOutput {
        /// What is wrong with it, in words that hold nothing of the answer itself.
        why: String,
        /// What the parser says.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The server ended the answer before its end.
    #[error("the server cut the answer off ({reason}): shorten the prompt, or raise LLM_MAX_OUTPUT_TOKENS")]
    CutOff {
        /// The server's `finish_reason`, such as `length` or `content_filter`.
        reason: String,
    },
}

impl CallError {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::InvalidOutput { why: why.into(), source: None }
    }

    /// Whether the same call may go better later. One that was refused or answered badly will be again.
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

    /// Whether it says that the server is not well. A server that finds fault with a call, or whose model answers badly,
    /// is there.
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

    /// What metrics call it.
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

/// The settings of the language model cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the language model's server cannot be asked: check OPENAI_BASE_URL and OPENAI_API_KEY")]
pub struct SetupError(#[from] jangbogo_openai::SetupError);
