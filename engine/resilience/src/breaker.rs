//! Circuit breaker: an unavailable server costs one timeout, not one a request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Thresholds at which a breaker opens, and the pauses between the probes of an open one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Share of failures, from 0 to 1, among the calls that ended within the window, at which the breaker opens.
    pub failure_rate: f64,
    /// Minimum number of calls within the window for the share to count.
    pub min_calls: usize,
    /// Sliding window in which the end of a call counts.
    pub window: Duration,
    /// Number of consecutive failures that open the breaker at any share; none: the share alone decides.
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

/// Permission for one call, which reports the call's outcome. If it is dropped, the call counts as neither success nor
/// failure.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    breaker: Arc<Breaker>,
    is_probe: bool,
}

/// State of a [`Breaker`], as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    /// A probe is under way or due.
    HalfOpen,
    Open,
}

impl BreakerState {
    /// Value in metrics: 0 closed, 1 half-open, 2 open.
    #[must_use]
    pub fn metric(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

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

    /// Admits a call. In half-open state exactly one caller per interval gets the permit of a probe.
    /// [`call`](Self::call) suits where a probe may run in the background.
    ///
    /// # Errors
    /// While the breaker is open: the time of the next probe.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Instant> {
        let now = now();
        let is_probe = match &mut *self.lock() {
            Inner::Closed { .. } => false,
            Inner::Open { next_probe, .. } if now < *next_probe => return Err(*next_probe),
            Inner::Open { failures, probing, next_probe } => {
                *probing = true;
                *next_probe = now + self.pause(*failures).max(self.thresholds.probe_timeout);
                true
            }
        };
        Ok(Permit { breaker: Arc::clone(self), is_probe })
    }

    /// Admits a call if the breaker is closed. It never becomes the probe.
    pub fn admit_if_closed(self: &Arc<Self>) -> Option<Permit> {
        (self.state() == BreakerState::Closed).then(|| Permit { breaker: Arc::clone(self), is_probe: false })
    }

    /// Closes the breaker after a call outside of it has reached the server. True if it was not closed.
    pub fn close(&self) -> bool {
        let mut state = self.lock();
        let was_open = matches!(*state, Inner::Open { .. });
        if was_open {
            *state = Inner::default();
        }
        was_open
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
        let permit = self.admit().map_err(|_| CallError::Rejected)?;
        if permit.is_probe {
            let probe = probe();
            tokio::spawn(async move {
                if probe.await.is_err() {
                    let _ = permit.failed();
                } else if permit.succeeded() {
                    recovered();
                }
            });
            return Err(CallError::Rejected);
        }
        match call.await {
            Ok(answer) => {
                let _ = permit.succeeded();
                Ok(answer)
            }
            Err(error) => Err(CallError::Failed { error, opened: permit.failed() }),
        }
    }

    pub fn state(&self) -> BreakerState {
        match &*self.lock() {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { probing, next_probe, .. } if *probing || *next_probe <= now() => BreakerState::HalfOpen,
            Inner::Open { .. } => BreakerState::Open,
        }
    }

    fn record(&self, recent: &mut VecDeque<(Instant, bool)>, now: Instant, failed: bool) {
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

/// An open breaker counts the outcomes of probes only: other calls began before it opened.
impl Permit {
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Reports the success of the call. True if it closed the breaker.
    #[must_use]
    pub fn succeeded(self) -> bool {
        if self.is_probe {
            return self.breaker.close();
        }
        if let Inner::Closed { recent, consecutive_failures } = &mut *self.breaker.lock() {
            *consecutive_failures = 0;
            self.breaker.record(recent, now(), false);
        }
        false
    }

    /// Reports the failure of the call. True if it opened the breaker.
    #[must_use]
    pub fn failed(self) -> bool {
        let (breaker, now) = (&self.breaker, now());
        let mut state = breaker.lock();
        match &mut *state {
            Inner::Closed { recent, consecutive_failures } => {
                *consecutive_failures = consecutive_failures.saturating_add(1);
                breaker.record(recent, now, true);
                let limit = breaker.thresholds.consecutive_failures;
                if limit.is_none_or(|limit| *consecutive_failures < limit) && !breaker.trips(recent) {
                    return false;
                }
                *state = Inner::Open { failures: 1, probing: false, next_probe: now + breaker.pause(0) };
                true
            }
            Inner::Open { failures, probing, next_probe } => {
                if self.is_probe {
                    *probing = false;
                    *next_probe = now + breaker.pause(*failures);
                    *failures = failures.saturating_add(1);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    /// Pauses of 250 ms to 4 s, in tokio's paused time.
    fn breaker(thresholds: Thresholds) -> Arc<Breaker> {
        Arc::new(Breaker::new(thresholds))
    }

    async fn milliseconds(milliseconds: u64) {
        advance(Duration::from_millis(milliseconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_probed_after_each_pause() {
        let breaker = breaker(Thresholds::default());
        let start = now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let [first, second, third] = [(); 3].map(|()| breaker.admit().unwrap());
        assert!(!first.is_probe());
        assert!(first.failed());
        assert!(!second.failed(), "calls in progress belong to the same outage");
        assert!(!third.succeeded(), "and do not end it");
        milliseconds(200).await;
        assert_eq!(breaker.admit().unwrap_err(), after(250));
        assert_eq!(breaker.state(), BreakerState::Open);
        milliseconds(50).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit_if_closed().is_none());
        let probe = breaker.admit().unwrap();
        assert!(probe.is_probe());
        assert_eq!(breaker.admit().unwrap_err(), after(750), "one probe at a time");
        milliseconds(50).await;
        assert!(!probe.failed());
        assert_eq!(breaker.state(), BreakerState::Open);
        milliseconds(400).await;
        assert_eq!(breaker.admit().unwrap_err(), after(800));
        milliseconds(100).await;
        let probe = breaker.admit().unwrap();
        milliseconds(10).await;
        assert!(probe.succeeded());
        assert!(!breaker.close(), "it is closed");
        assert!(!breaker.admit().unwrap().is_probe());
    }

    #[test]
    fn pauses_are_bounded() {
        let breaker = Breaker::default();
        assert_eq!(breaker.pause(0), Duration::from_millis(250));
        assert_eq!(breaker.pause(3), Duration::from_secs(2));
        assert_eq!(breaker.pause(u32::MAX), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_late_failures_opens() {
        let window = Duration::from_secs(10);
        let breaker = breaker(Thresholds { failure_rate: 0.5, min_calls: 4, window, ..Thresholds::default() });
        for _ in 0..3 {
            assert!(!breaker.admit().unwrap().failed(), "too few calls");
        }
        milliseconds(11_000).await;
        assert!(!breaker.admit().unwrap().succeeded());
        milliseconds(1000).await;
        assert!(!breaker.admit().unwrap().failed());
        milliseconds(1000).await;
        assert!(!breaker.admit().unwrap().succeeded());
        assert!(!breaker.admit().unwrap().succeeded());
        milliseconds(1000).await;
        assert!(!breaker.admit().unwrap().failed(), "two of five");
        milliseconds(1000).await;
        assert!(breaker.admit().unwrap().failed(), "three of six; the first three are outside the window");
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn consecutive_failures_open_at_any_share() {
        let window = Duration::from_secs(10);
        let breaker = breaker(Thresholds {
            failure_rate: 0.5,
            min_calls: 10,
            window,
            consecutive_failures: Some(3),
            ..Thresholds::default()
        });
        for _ in 0..1000 {
            assert!(!breaker.admit().unwrap().succeeded());
        }
        assert!(!breaker.admit().unwrap().failed());
        assert!(!breaker.admit().unwrap().failed());
        assert!(!breaker.admit().unwrap().succeeded());
        assert!(!breaker.admit().unwrap().failed(), "a success starts the count over");
        milliseconds(60_000).await;
        assert!(!breaker.admit().unwrap().failed(), "the window does not matter");
        milliseconds(60_000).await;
        assert!(breaker.admit().unwrap().failed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_probe_is_alone_as_long_as_it_may_take() {
        let probe_timeout = Duration::from_secs(30);
        let breaker = breaker(Thresholds { probe_timeout, ..Thresholds::default() });
        assert!(breaker.admit().unwrap().failed());
        milliseconds(1000).await;
        let probe = breaker.admit().unwrap();
        let next_probe = now() + probe_timeout;
        milliseconds(29_000).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.admit().unwrap_err(), next_probe);
        milliseconds(1000).await;
        assert!(breaker.admit().unwrap().is_probe(), "the first may have been given up");
        drop(probe);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_rejects_calls_and_probes_in_the_background() {
        let breaker = breaker(Thresholds::default());
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
        assert_eq!(breaker.state(), BreakerState::Open, "the failed probe doubled the pause");
        sleep(Duration::from_millis(250)).await;
        assert_eq!(call(Ok(4), Ok(())).await, Err(CallError::Rejected));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(call(Ok(5), Ok(())).await, Ok(5));
        assert_eq!(recovered.load(Ordering::Relaxed), 1);
    }
}
