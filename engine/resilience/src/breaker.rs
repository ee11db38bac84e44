//! Circuit breaker: an unavailable server costs one timeout, not one a request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When the breaker opens, and how often an open one probes the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Share of failures, from 0 to 1, among the calls that ended within the window, at which the breaker opens.
    pub share: f64,
    /// Minimum number of calls within the window for the share to count.
    pub calls: usize,
    /// Sliding window in which the end of a call counts.
    pub window: Duration,
    /// Number of consecutive failures that open the breaker whatever the share; none: the share alone decides.
    pub in_a_row: Option<u32>,
    /// Pause before the first probe; it doubles with every probe that fails.
    pub min_pause: Duration,
    /// Maximum pause between probes.
    pub max_pause: Duration,
    /// Minimum time after the start of a probe until the next one is due: the timeout of slow probes.
    pub probe_limit: Duration,
}

impl Default for Thresholds {
    /// One failure opens; pauses grow from 250 ms to 4 s.
    fn default() -> Self {
        Self {
            share: 0.0,
            calls: 1,
            window: Duration::ZERO,
            in_a_row: None,
            min_pause: Duration::from_millis(250),
            max_pause: Duration::from_secs(4),
            probe_limit: Duration::ZERO,
        }
    }
}

/// A circuit breaker. While it is open, calls are rejected, but for one probe after each pause (half-open).
#[derive(Debug, Default)]
pub struct Breaker {
    thresholds: Thresholds,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed {
        /// Calls that ended within the window: end, and true for a failure.
        recent: VecDeque<(Instant, bool)>,
        /// Number of failures since the last success.
        in_a_row: u32,
    },
    Open {
        /// The failure that opened the breaker, and the failed probes.
        failures: u32,
        probing: bool,
        next_probe: Instant,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { recent: VecDeque::new(), in_a_row: 0 }
    }
}

/// Admission decision of a [`Breaker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The breaker is closed: call the server.
    Ask,
    /// Half-open: probe the server, and report the outcome.
    Probe,
    /// The breaker is open: do not call.
    Avoid {
        /// Time of the next probe.
        until: Instant,
    },
}

/// State of a [`Breaker`], as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Closed,
    /// A probe is under way or due.
    HalfOpen,
    Open,
}

/// Failure of [`Breaker::call`].
#[derive(Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// The breaker is open: the call was not made.
    Rejected,
    Failed {
        error: E,
        /// True if this failure opened the breaker.
        opened: bool,
    },
}

/// Tokio's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Breaker {
    /// The breaker starts closed.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, state: Mutex::default() }
    }

    /// Admission decision. In half-open state exactly one caller per interval gets [`Advice::Probe`] and must report
    /// its outcome. [`call`](Self::call) does both where a probe may run in the background.
    pub fn advice(&self, now: Instant) -> Advice {
        match &mut *self.state() {
            State::Closed { .. } => Advice::Ask,
            State::Open { next_probe, .. } if now < *next_probe => Advice::Avoid { until: *next_probe },
            State::Open { failures, probing, next_probe } => {
                *probing = true;
                *next_probe = now + self.pause(*failures).max(self.thresholds.probe_limit);
                Advice::Probe
            }
        }
    }

    /// Reports the success of a call with this advice. True if it closed the breaker.
    ///
    /// An open breaker counts probes only: other calls began before it opened.
    pub fn succeeded(&self, advice: Advice, now: Instant) -> bool {
        let mut state = self.state();
        match &mut *state {
            State::Closed { recent, in_a_row } => {
                *in_a_row = 0;
                self.note(recent, now, false);
                false
            }
            State::Open { .. } if advice == Advice::Probe => {
                *state = State::default();
                true
            }
            State::Open { .. } => false,
        }
    }

    /// Reports the failure of a call with this advice. True if it opened the breaker.
    pub fn failed(&self, advice: Advice, now: Instant) -> bool {
        let mut state = self.state();
        match &mut *state {
            State::Closed { recent, in_a_row } => {
                *in_a_row = in_a_row.saturating_add(1);
                self.note(recent, now, true);
                let is_limit = self.thresholds.in_a_row.is_some_and(|limit| *in_a_row >= limit);
                if !is_limit && !self.trips(recent) {
                    return false;
                }
                *state = State::Open { failures: 1, probing: false, next_probe: now + self.pause(0) };
                true
            }
            State::Open { failures, probing, next_probe } => {
                if advice == Advice::Probe {
                    *probing = false;
                    *next_probe = now + self.pause(*failures);
                    *failures = failures.saturating_add(1);
                }
                false
            }
        }
    }

    /// Runs a call if the breaker is closed; rejects at once if it is open. When a probe is due, runs it in the
    /// background and rejects the call, so that no caller waits for a server that may still be unavailable. `recovered`
    /// runs when the probe closes the breaker.
    ///
    /// # Errors
    /// When the call fails or is rejected.
    pub async fn call<T, E, P, F>(
        self: &Arc<Self>,
        call: impl Future<Output = Result<T, E>>,
        probe: impl FnOnce() -> P,
        recovered: impl FnOnce() + Send + 'static,
    ) -> Result<T, CallError<E>>
    where
        P: Future<Output = Result<(), F>> + Send + 'static,
    {
        match self.advice(now()) {
            Advice::Ask => {}
            Advice::Avoid { .. } => return Err(CallError::Rejected),
            Advice::Probe => {
                let (breaker, probe) = (Arc::clone(self), probe());
                tokio::spawn(async move {
                    if probe.await.is_err() {
                        breaker.failed(Advice::Probe, now());
                    } else if breaker.succeeded(Advice::Probe, now()) {
                        recovered();
                    }
                });
                return Err(CallError::Rejected);
            }
        }
        match call.await {
            Ok(answer) => {
                self.succeeded(Advice::Ask, now());
                Ok(answer)
            }
            Err(error) => Err(CallError::Failed { error, opened: self.failed(Advice::Ask, now()) }),
        }
    }

    /// State at this time.
    pub fn condition(&self, now: Instant) -> Condition {
        match &*self.state() {
            State::Closed { .. } => Condition::Closed,
            State::Open { probing, next_probe, .. } if *probing || *next_probe <= now => Condition::HalfOpen,
            State::Open { .. } => Condition::Open,
        }
    }

    fn note(&self, recent: &mut VecDeque<(Instant, bool)>, now: Instant, failed: bool) {
        recent.push_back((now, failed));
        while recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.thresholds.window) {
            recent.pop_front();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "calls of one window")]
    fn trips(&self, recent: &VecDeque<(Instant, bool)>) -> bool {
        let failures = recent.iter().filter(|(_, failed)| *failed).count();
        recent.len() >= self.thresholds.calls && failures as f64 >= self.thresholds.share * recent.len() as f64
    }

    fn pause(&self, failures: u32) -> Duration {
        self.thresholds.min_pause.saturating_mul(1 << failures.min(10)).min(self.thresholds.max_pause)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[test]
    fn an_outage_is_probed_after_each_pause() {
        let breaker = Breaker::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(breaker.advice(start), Advice::Ask);
        assert!(breaker.failed(Advice::Ask, start));
        assert!(!breaker.failed(Advice::Ask, start), "calls in progress belong to the same outage");
        assert!(!breaker.succeeded(Advice::Ask, start), "and do not end it");
        assert_eq!(breaker.advice(after(200)), Advice::Avoid { until: after(250) });
        assert_eq!(breaker.condition(after(200)), Condition::Open);
        assert_eq!(breaker.condition(after(250)), Condition::HalfOpen);
        assert_eq!(breaker.advice(after(250)), Advice::Probe);
        assert_eq!(breaker.advice(after(250)), Advice::Avoid { until: after(750) }, "one probe at a time");
        assert!(!breaker.failed(Advice::Probe, after(300)));
        assert_eq!(breaker.condition(after(300)), Condition::Open);
        assert_eq!(breaker.advice(after(700)), Advice::Avoid { until: after(800) });
        assert_eq!(breaker.advice(after(800)), Advice::Probe);
        assert!(breaker.succeeded(Advice::Probe, after(810)));
        assert!(!breaker.succeeded(Advice::Probe, after(810)));
        assert_eq!(breaker.advice(after(810)), Advice::Ask);
    }

    #[test]
    fn pauses_are_bounded() {
        let breaker = Breaker::default();
        assert_eq!(breaker.pause(0), Duration::from_millis(250));
        assert_eq!(breaker.pause(3), Duration::from_secs(2));
        assert_eq!(breaker.pause(u32::MAX), Duration::from_secs(4));
    }

    #[test]
    fn a_share_of_late_failures_opens() {
        let window = Duration::from_secs(10);
        let breaker = Breaker::new(Thresholds { share: 0.5, calls: 4, window, ..Thresholds::default() });
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..3 {
            assert!(!breaker.failed(Advice::Ask, start), "too few calls");
        }
        assert!(!breaker.succeeded(Advice::Ask, after(11)));
        assert!(!breaker.failed(Advice::Ask, after(12)));
        assert!(!breaker.succeeded(Advice::Ask, after(13)));
        assert!(!breaker.succeeded(Advice::Ask, after(13)));
        assert!(!breaker.failed(Advice::Ask, after(14)), "two of five");
        assert!(breaker.failed(Advice::Ask, after(15)), "three of six; the first three are outside the window");
        assert_eq!(breaker.condition(after(15)), Condition::Open);
    }

    #[test]
    fn failures_in_a_row_open_whatever_came_before() {
        let window = Duration::from_secs(10);
        let thresholds = Thresholds { share: 0.5, calls: 10, window, in_a_row: Some(3), ..Thresholds::default() };
        let breaker = Breaker::new(thresholds);
        let start = Instant::now();
        for _ in 0..1000 {
            breaker.succeeded(Advice::Ask, start);
        }
        assert!(!breaker.failed(Advice::Ask, start));
        assert!(!breaker.failed(Advice::Ask, start));
        breaker.succeeded(Advice::Ask, start);
        assert!(!breaker.failed(Advice::Ask, start), "a success starts the count over");
        assert!(!breaker.failed(Advice::Ask, start + Duration::from_mins(1)), "the window does not matter");
        assert!(breaker.failed(Advice::Ask, start + Duration::from_mins(2)));
    }

    #[test]
    fn a_slow_probe_is_alone_as_long_as_it_may_take() {
        let probe_limit = Duration::from_secs(30);
        let breaker = Breaker::new(Thresholds { probe_limit, ..Thresholds::default() });
        let start = Instant::now();
        breaker.failed(Advice::Ask, start);
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.advice(later), Advice::Probe);
        assert_eq!(breaker.condition(later + Duration::from_secs(29)), Condition::HalfOpen);
        assert_eq!(breaker.advice(later + Duration::from_secs(29)), Advice::Avoid { until: later + probe_limit });
        assert_eq!(breaker.advice(later + probe_limit), Advice::Probe, "the first may have been given up");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_rejects_calls_and_probes_in_the_background() {
        let breaker = Arc::new(Breaker::default());
        let recovered = Arc::new(AtomicU32::new(0));
        let call = async |answer: Result<u8, &'static str>, probe: Result<(), &'static str>| {
            let recovered = Arc::clone(&recovered);
            let slow_probe = || async move {
                sleep(Duration::from_millis(10)).await;
                probe
            };
            let outcome = breaker.call(ready(answer), slow_probe, move || {
                recovered.fetch_add(1, Ordering::Relaxed);
            });
            outcome.await
        };
        assert_eq!(call(Ok(1), Ok(())).await, Ok(1));
        assert_eq!(call(Err("refused"), Ok(())).await, Err(CallError::Failed { error: "refused", opened: true }));
        assert_eq!(call(Ok(2), Ok(())).await, Err(CallError::Rejected));
        sleep(Duration::from_millis(250)).await;
        let before = now();
        assert_eq!(call(Ok(3), Err("refused")).await, Err(CallError::Rejected));
        assert_eq!(now(), before, "the caller does not wait for the probe");
        sleep(Duration::from_millis(300)).await;
        assert_eq!(breaker.condition(now()), Condition::Open, "the failed probe doubled the pause");
        sleep(Duration::from_millis(250)).await;
        assert_eq!(call(Ok(4), Ok(())).await, Err(CallError::Rejected));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(call(Ok(5), Ok(())).await, Ok(5));
        assert_eq!(recovered.load(Ordering::Relaxed), 1);
    }
}
