//! Whether to try again, and when.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::error::CallError;
use crate::settings::Settings;

/// What is left of one call's retries.
#[derive(Debug)]
pub(crate) struct Retries {
    left: u32,
    pauses: ExponentialBackoff,
    max_pause: Duration,
    /// A model that answered badly twice will go on.
    badly_answered: bool,
}

impl Retries {
    pub(crate) fn new(settings: &Settings) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(settings.min_pause)
            .with_max_delay(settings.max_pause)
            .with_jitter()
            .without_max_times();
        let left = settings.attempts.saturating_sub(1);
        Self { left, pauses: pauses.build(), max_pause: settings.max_pause, badly_answered: false }
    }

    /// The pause before the next attempt; none when this error is the last word.
    pub(crate) fn pause(&mut self, error: &CallError) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        match error {
            // The server is well: it need not be spared.
            CallError::InvalidOutput { .. } => {
                (!std::mem::replace(&mut self.badly_answered, true)).then_some(Duration::ZERO)
            }
            CallError::RateLimited { retry_after: Some(pause), .. } => Some(self.own_pause().max(*pause)),
            error if error.blames_server() => Some(self.own_pause()),
            _ => None,
        }
    }

    fn own_pause(&mut self) -> Duration {
        // Jitter comes on top of the longest pause.
        self.pauses.next().unwrap_or(self.max_pause).min(self.max_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        let mut retries = Retries::new(&Settings { attempts: 5, ..Settings::default() });
        let mut pause = || retries.pause(&CallError::Refused { status: 500, body: String::new() });
        let pauses: Vec<f64> = std::iter::from_fn(&mut pause).map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(pauses.len(), 4);
        for (pause, bounds) in pauses.iter().zip([1.0..=2.0, 2.0..=4.0, 4.0..=5.0, 5.0..=5.0]) {
            assert!(bounds.contains(pause), "{pauses:?}");
        }
    }

    #[test]
    fn the_servers_wish_counts_if_it_is_longer() {
        let mut retries = Retries::new(&Settings::default());
        let limited =
            |seconds| CallError::RateLimited { retry_after: Some(Duration::from_secs(seconds)), body: String::new() };
        assert_eq!(retries.pause(&limited(20)), Some(Duration::from_secs(20)));
        assert!(retries.pause(&limited(0)).unwrap() >= Duration::from_secs(2));
        assert_eq!(retries.pause(&limited(0)), None, "three attempts");
    }

    #[test]
    fn what_is_wrong_with_the_call_is_not_repeated() {
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
