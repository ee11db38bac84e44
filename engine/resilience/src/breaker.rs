//! A server that is away costs a time-out once, not once a request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When to take a server for away, and when to look whether it is back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// The share of failures, from 0 to 1, among the calls that ended within the window.
    pub share: f64,
    /// The fewest calls within the window that say anything.
    pub calls: usize,
    /// How long the end of a call counts.
    pub window: Duration,
    /// So many failures one after the other are enough, however well calls went before; none: the share alone says.
    pub in_a_row: Option<u32>,
    /// The first pause; it doubles with every probe that fails.
    pub min_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// How long a probe may take before the next one is due, if that is longer than the pause.
    pub probe_limit: Duration,
}

impl Default for Thresholds {
    /// One failure is enough; pauses grow from 250 ms to 4 s.
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

/// Says whether to ask. While the server is away nobody asks, but for one probe after each pause.
#[derive(Debug, Default)]
pub struct Breaker {
    thresholds: Thresholds,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// All is well.
    Closed {
        /// Calls that ended within the window: when, and whether they failed.
        recent: VecDeque<(Instant, bool)>,
        /// How many calls have failed since the last one that went well.
        in_a_row: u32,
    },
    /// The server is away.
    Open {
        /// The failure that opened the breaker, and probes that failed.
        failures: u32,
        /// Whether a probe is under way.
        probing: bool,
        /// When to probe next.
        next_probe: Instant,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { recent: VecDeque::new(), in_a_row: 0 }
    }
}

/// What to do about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It is well: ask it.
    Ask,
    /// It may be back: probe it.
    Probe,
    /// It is away.
    Avoid {
        /// When the next probe is due.
        until: Instant,
    },
}

/// What a breaker thinks of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is well.
    Closed,
    /// It was away, and a probe is under way or due.
    HalfOpen,
    /// It is away.
    Open,
}

impl Breaker {
    /// A breaker of a server that is well.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, state: Mutex::default() }
    }

    /// Whether to ask now. Who is advised to probe is the only one until the next probe is due.
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

    /// Takes note that the server answered one who got this advice. Gives whether an outage has ended.
    ///
    /// Once the breaker is open only probes count: what was asked before is of the time before.
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

    /// Takes note that the server failed one who got this advice. Gives whether an outage has begun.
    pub fn failed(&self, advice: Advice, now: Instant) -> bool {
        let mut state = self.state();
        match &mut *state {
            State::Closed { recent, in_a_row } => {
                *in_a_row = in_a_row.saturating_add(1);
                self.note(recent, now, true);
                let is_enough = self.thresholds.in_a_row.is_some_and(|enough| *in_a_row >= enough);
                if !is_enough && !self.trips(recent) {
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

    /// What the breaker thinks of the server now.
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
    use super::*;

    #[test]
    fn an_outage_is_probed_after_each_pause() {
        let breaker = Breaker::default();
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(breaker.advice(start), Advice::Ask);
        assert!(breaker.failed(Advice::Ask, start));
        assert!(!breaker.failed(Advice::Ask, start), "requests that were under way are of the same outage");
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
            assert!(!breaker.failed(Advice::Ask, start), "too few calls to tell");
        }
        assert!(!breaker.succeeded(Advice::Ask, after(11)));
        assert!(!breaker.failed(Advice::Ask, after(12)));
        assert!(!breaker.succeeded(Advice::Ask, after(13)));
        assert!(!breaker.succeeded(Advice::Ask, after(13)));
        assert!(!breaker.failed(Advice::Ask, after(14)), "two of five");
        assert!(breaker.failed(Advice::Ask, after(15)), "three of six; the first three are of long ago");
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
        assert!(!breaker.failed(Advice::Ask, start), "one that went well begins anew");
        assert!(!breaker.failed(Advice::Ask, start + Duration::from_mins(1)), "however long ago the others are");
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
}
