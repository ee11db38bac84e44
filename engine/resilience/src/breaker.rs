//! Circuit breaker: an unavailable server costs one timeout, not one a request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When the breaker opens, and how often an open one probes the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Share of failures, from 0 to 1, among the calls that ended within the window, at which the breaker opens.
    pub failure_rate: f64,
    /// Minimum number of calls within the window for the share to count.
    pub min_calls: usize,
    /// Sliding window in which the end of a call counts.
    pub window: Duration,
    /// Number of consecutive failures that open the breaker whatever the share; none: the share alone decides.
    pub consecutive_failures: Option<u32>,
    /// Pause before the first probe; it doubles with every probe that fails.
    pub min_pause: Duration,
    /// Maximum pause between probes.
    pub max_pause: Duration,
    /// Minimum time after the start of a probe until the next one is due: the timeout of slow probes.
    pub probe_timeout: Duration,
}

impl Default for Thresholds {
    /// One failure opens; pauses grow from 250 ms to 4 s.
    fn default() -> Self {
        Self {
            failure_rate: 0.0,
            min_calls: 1,
            window: Duration::ZERO,
            consecutive_failures: None,
            min_pause: Duration::from_millis(250),
            max_pause: Duration::from_secs(4),
            probe_timeout: Duration::ZERO,
        }
    }
}

/// A circuit breaker. While it is open, calls are rejected, but for one probe after each pause (half-open).
#[derive(Debug, Default)]
pub struct Breaker {
    thresholds: Thresholds,
    state: Mutex<Inner>,
}

#[derive(Debug)]
enum Inner {
    Closed {
        /// Calls that ended within the window: end, and true for a failure.
        recent: VecDeque<(Instant, bool)>,
        /// Number of failures since the last success.
        consecutive_failures: u32,
    },
    Open {
        /// The failure that opened the breaker, and the failed probes.
        failures: u32,
        probing: bool,
        next_probe: Instant,
    },
}

impl Default for Inner {
    fn default() -> Self {
        Self::Closed { recent: VecDeque::new(), consecutive_failures: 0 }
    }
}

/// Admission decision of a [`Breaker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The breaker is closed: call the server.
    Allowed,
    /// Half-open: probe the server, and report the outcome.
    Probe,
    /// The breaker is open: do not call.
    Rejected {
        /// Time of the next probe.
        until: Instant,
    },
}

/// State of a [`Breaker`], as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
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

    /// Admission decision. In half-open state exactly one caller per interval gets [`Admission::Probe`] and must report
    /// its outcome. [`call`](Self::call) does both where a probe may run in the background.
    pub fn admit(&self, now: Instant) -> Admission {
        match &mut *self.lock() {
            Inner::Closed { .. } => Admission::Allowed,
            Inner::Open { next_probe, .. } if now < *next_probe => Admission::Rejected { until: *next_probe },
            Inner::Open { failures, probing, next_probe } => {
                *probing = true;
                *next_probe = now + self.pause(*failures).max(self.thresholds.probe_timeout);
                Admission::Probe
            }
        }
    }

    /// Reports the success of a call with this admission. True if it closed the breaker.
    ///
    /// An open breaker counts probes only: other calls began before it opened.
    pub fn succeeded(&self, admission: Admission, now: Instant) -> bool {
        let mut state = self.lock();
        match &mut *state {
            Inner::Closed { recent, consecutive_failures } => {
                *consecutive_failures = 0;
                self.note(recent, now, false);
                false
            }
            Inner::Open { .. } if admission == Admission::Probe => {
                *state = Inner::default();
                true
            }
            Inner::Open { .. } => false,
        }
    }

    /// Reports the failure of a call with this admission. True if it opened the breaker.
    pub fn failed(&self, admission: Admission, now: Instant) -> bool {
        let mut state = self.lock();
        match &mut *state {
            Inner::Closed { recent, consecutive_failures } => {
                *consecutive_failures = consecutive_failures.saturating_add(1);
                self.note(recent, now, true);
                let is_limit = self.thresholds.consecutive_failures.is_some_and(|limit| *consecutive_failures >= limit);
                if !is_limit && !self.trips(recent) {
                    return false;
                }
                *state = Inner::Open { failures: 1, probing: false, next_probe: now + self.pause(0) };
                true
            }
            Inner::Open { failures, probing, next_probe } => {
                if admission == Admission::Probe {
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
        match self.admit(now()) {
            Admission::Allowed => {}
            Admission::Rejected { .. } => return Err(CallError::Rejected),
            Admission::Probe => {
                let (breaker, probe) = (Arc::clone(self), probe());
                tokio::spawn(async move {
                    if probe.await.is_err() {
                        breaker.failed(Admission::Probe, now());
                    } else if breaker.succeeded(Admission::Probe, now()) {
                        recovered();
                    }
                });
                return Err(CallError::Rejected);
            }
        }
        match call.await {
            Ok(answer) => {
                self.succeeded(Admission::Allowed, now());
                Ok(answer)
            }
            Err(error) => Err(CallError::Failed { error, opened: self.failed(Admission::Allowed, now()) }),
        }
    }

    /// State at this time.
    pub fn state(&self, now: Instant) -> BreakerState {
        match &*self.lock() {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { probing, next_probe, .. } if *probing || *next_probe <= now => BreakerState::HalfOpen,
            Inner::Open { .. } => BreakerState::Open,
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
        recent.len() >= self.thresholds.min_calls
            && failures as f64 >= self.thresholds.failure_rate * recent.len() as f64
    }

    fn pause(&self, failures: u32) -> Duration {
        self.thresholds.min_pause.saturating_mul(1 << failures.min(10)).min(self.thresholds.max_pause)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
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
        assert_eq!(breaker.admit(start), Admission::Allowed);
        assert!(breaker.failed(Admission::Allowed, start));
        assert!(!breaker.failed(Admission::Allowed, start), "calls in progress belong to the same outage");
        assert!(!breaker.succeeded(Admission::Allowed, start), "and do not end it");
        assert_eq!(breaker.admit(after(200)), Admission::Rejected { until: after(250) });
        assert_eq!(breaker.state(after(200)), BreakerState::Open);
        assert_eq!(breaker.state(after(250)), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(after(250)), Admission::Probe);
        assert_eq!(breaker.admit(after(250)), Admission::Rejected { until: after(750) }, "one probe at a time");
        assert!(!breaker.failed(Admission::Probe, after(300)));
        assert_eq!(breaker.state(after(300)), BreakerState::Open);
        assert_eq!(breaker.admit(after(700)), Admission::Rejected { until: after(800) });
        assert_eq!(breaker.admit(after(800)), Admission::Probe);
        assert!(breaker.succeeded(Admission::Probe, after(810)));
        assert!(!breaker.succeeded(Admission::Probe, after(810)));
        assert_eq!(breaker.admit(after(810)), Admission::Allowed);
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
        let breaker = Breaker::new(Thresholds { failure_rate: 0.5, min_calls: 4, window, ..Thresholds::default() });
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..3 {
            assert!(!breaker.failed(Admission::Allowed, start), "too few calls");
        }
        assert!(!breaker.succeeded(Admission::Allowed, after(11)));
        assert!(!breaker.failed(Admission::Allowed, after(12)));
        assert!(!breaker.succeeded(Admission::Allowed, after(13)));
        assert!(!breaker.succeeded(Admission::Allowed, after(13)));
        assert!(!breaker.failed(Admission::Allowed, after(14)), "two of five");
        assert!(breaker.failed(Admission::Allowed, after(15)), "three of six; the first three are outside the window");
        assert_eq!(breaker.state(after(15)), BreakerState::Open);
    }

    #[test]
    fn failures_in_a_row_open_whatever_came_before() {
        let window = Duration::from_secs(10);
        let thresholds = Thresholds {
            failure_rate: 0.5,
            min_calls: 10,
            window,
            consecutive_failures: Some(3),
            ..Thresholds::default()
        };
        let breaker = Breaker::new(thresholds);
        let start = Instant::now();
        for _ in 0..1000 {
            breaker.succeeded(Admission::Allowed, start);
        }
        assert!(!breaker.failed(Admission::Allowed, start));
        assert!(!breaker.failed(Admission::Allowed, start));
        breaker.succeeded(Admission::Allowed, start);
        assert!(!breaker.failed(Admission::Allowed, start), "a success starts the count over");
        assert!(!breaker.failed(Admission::Allowed, start + Duration::from_mins(1)), "the window does not matter");
        assert!(breaker.failed(Admission::Allowed, start + Duration::from_mins(2)));
    }

    #[test]
    fn a_slow_probe_is_alone_as_long_as_it_may_take() {
        let probe_timeout = Duration::from_secs(30);
        let breaker = Breaker::new(Thresholds { probe_timeout, ..Thresholds::default() });
        let start = Instant::now();
        breaker.failed(Admission::Allowed, start);
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.admit(later), Admission::Probe);
        assert_eq!(breaker.state(later + Duration::from_secs(29)), BreakerState::HalfOpen);
        assert_eq!(
            breaker.admit(later + Duration::from_secs(29)),
            Admission::Rejected { until: later + probe_timeout }
        );
        assert_eq!(breaker.admit(later + probe_timeout), Admission::Probe, "the first may have been given up");
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
        assert_eq!(breaker.state(now()), BreakerState::Open, "the failed probe doubled the pause");
        sleep(Duration::from_millis(250)).await;
        assert_eq!(call(Ok(4), Ok(())).await, Err(CallError::Rejected));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(call(Ok(5), Ok(())).await, Ok(5));
        assert_eq!(recovered.load(Ordering::Relaxed), 1);
    }
}
