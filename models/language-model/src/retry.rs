//! Retries of a call.

use std::time::Duration;

use jangbogo_openai::{AttemptLimits, Attempts};

use crate::error::CallError;
use crate::settings::Settings;

/// The remaining retries of one call.
#[derive(Debug)]
pub(crate) struct Retries {
    attempts: Attempts,
    /// An invalid answer is retried once: a model that gives two of them gives more.
    had_invalid_output: bool,
}

impl Retries {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { attempts, min_pause, max_pause, .. } = *settings;
        let attempts = Attempts::new(AttemptLimits { attempts, min_pause, max_pause });
        Self { attempts, had_invalid_output: false }
    }

    /// The pause before the next attempt; none if the error is not to be retried.
    pub(crate) fn pause(&mut self, error: &CallError) -> Option<Duration> {
        self.attempts.take()?;
        match error {
            // The server is healthy: no pause.
            CallError::InvalidOutput { .. } => {
                (!std::mem::replace(&mut self.had_invalid_output, true)).then_some(Duration::ZERO)
            }
            CallError::RateLimited { retry_after, .. } => Some(self.attempts.pause(*retry_after)),
            error if error.blames_server() => Some(self.attempts.pause(None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_pause_counts_if_it_is_longer() {
        let mut retries = Retries::new(&Settings::default());
        let limited =
            |seconds| CallError::RateLimited { retry_after: Some(Duration::from_secs(seconds)), body: String::new() };
        assert_eq!(retries.pause(&limited(20)), Some(Duration::from_secs(20)));
        assert!(retries.pause(&limited(0)).unwrap() >= Duration::from_secs(2));
        assert_eq!(retries.pause(&limited(0)), None, "three attempts");
    }

    #[test]
    fn invalid_calls_are_not_retried() {
        for status in [400, 401, 403, 404, 413, 422] {
            let mut retries = Retries::new(&Settings::default());
            assert_eq!(retries.pause(&CallError::Refused { status, body: String::new() }), None);
        }
        let mut retries = Retries::new(&Settings::default());
        assert_eq!(retries.pause(&CallError::CutOff { reason: "length".to_owned() }), None);
        let mut retries = Retries::new(&Settings::default());
        assert_eq!(retries.pause(&CallError::invalid("not JSON")), Some(Duration::ZERO));
        assert_eq!(retries.pause(&CallError::invalid("not JSON")), None);
    }
}
