//! Readiness checks: each dependency of a process reports success or failure, and `/readyz` shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tracing::{info, warn};

/// The named checks of a process, which is ready when all of them pass. Clones share the checks.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Arc<Mutex<BTreeMap<String, Arc<Check>>>>,
}

/// Reports on one check; cheap enough for a hot path. Clones share the check.
#[derive(Clone, Debug)]
pub struct CheckHandle {
    check: Arc<Check>,
}

#[derive(Debug)]
struct Check {
    name: String,
    /// Equal to `state.passing`, and read without the lock while passing.
    passing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    passing: bool,
    since: DateTime<Utc>,
    failures: u64,
    last_error: Option<String>,
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    /// True if every check passes.
    pub ready: bool,
    pub checks: BTreeMap<String, CheckReport>,
}

/// One check in the body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    pub ok: bool,
    /// Time of the last change of `ok`: RFC 3339, UTC.
    pub since: String,
    /// Number of failures in the current outage, or in the last one.
    pub failures: u64,
    /// Cause of the newest failure, kept after recovery. Absent if the check never failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Readiness {
    /// The check of that name, created on first use. A new check fails until its first success is reported.
    #[must_use]
    pub fn check(&self, name: &str) -> CheckHandle {
        let mut checks = lock(&self.checks);
        let check = checks.entry(name.to_owned()).or_insert_with(|| Arc::new(Check::new(name)));
        CheckHandle { check: Arc::clone(check) }
    }

    /// State of every check.
    #[must_use]
    pub fn report(&self) -> ReadinessReport {
        let checks: BTreeMap<String, CheckReport> =
            lock(&self.checks).iter().map(|(name, check)| (name.clone(), check.report())).collect();
        ReadinessReport { ready: checks.values().all(|check| check.ok), checks }
    }

    /// True if every check passes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        lock(&self.checks).values().all(|check| check.passing.load(Ordering::Acquire))
    }
}

impl CheckHandle {
    pub fn ok(&self) {
        if self.check.passing.load(Ordering::Acquire) {
            return;
        }
        let mut state = lock(&self.check.state);
        let now = Utc::now();
        if state.failures > 0 {
            info!(check = self.check.name, failures = state.failures, since = %state.since, "recovered");
        }
        state.passing = true;
        state.since = now;
        self.check.passing.store(true, Ordering::Release);
    }

    /// Reports a failure. The first of an outage is logged, later ones are only counted. `/readyz` shows the cause,
    /// which must not contain a secret.
    pub fn failing(&self, cause: impl fmt::Display) {
        let cause = cause.to_string();
        let mut state = lock(&self.check.state);
        if state.passing || state.failures == 0 {
            warn!(check = self.check.name, error = cause, "failing; retrying until it recovers");
        }
        if state.passing {
            state.since = Utc::now();
            state.failures = 0;
        }
        state.passing = false;
        state.failures += 1;
        state.last_error = Some(cause);
        self.check.passing.store(false, Ordering::Release);
    }
}

impl Check {
    fn new(name: &str) -> Self {
        let state = State { passing: false, since: Utc::now(), failures: 0, last_error: None };
        Self { name: name.to_owned(), passing: AtomicBool::new(false), state: Mutex::new(state) }
    }

    fn report(&self) -> CheckReport {
        let state = lock(&self.state);
        let last_error = match &state.last_error {
            None if !state.passing => Some("not checked yet".to_owned()),
            last_error => last_error.clone(),
        };
        CheckReport {
            ok: state.passing,
            since: state.since.to_rfc3339_opts(SecondsFormat::Micros, true),
            failures: state.failures,
            last_error,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_checks_is_ready() {
        assert!(Readiness::default().is_ready());
    }

    #[test]
    fn a_check_fails_until_its_first_success() {
        let readiness = Readiness::default();
        let postgres = readiness.check("postgres");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.report().checks["postgres"].last_error.as_deref(), Some("not checked yet"));
        postgres.ok();
        assert!(readiness.is_ready());
        assert_eq!(readiness.report().checks["postgres"].last_error, None);
    }

    #[test]
    fn an_outage_keeps_its_beginning_and_its_newest_cause() {
        let readiness = Readiness::default();
        let postgres = readiness.check("postgres");
        postgres.ok();
        readiness.check("redis").ok();
        postgres.failing("connection refused");
        let began = readiness.report().checks["postgres"].since.clone();
        postgres.failing("the database system is starting up");
        let report = readiness.report();
        assert!(!report.ready);
        assert!(report.checks["redis"].ok);
        let check = &report.checks["postgres"];
        assert_eq!((check.ok, check.failures, &check.since), (false, 2, &began));
        assert_eq!(check.last_error.as_deref(), Some("the database system is starting up"));

        postgres.ok();
        let check = &readiness.report().checks["postgres"];
        assert_eq!((check.ok, check.failures), (true, 2));
        assert_eq!(check.last_error.as_deref(), Some("the database system is starting up"));
        postgres.failing("connection reset");
        assert_eq!(readiness.report().checks["postgres"].failures, 1);
    }

    #[test]
    fn handles_of_one_name_share_a_check() {
        let readiness = Readiness::default();
        readiness.check("kafka").ok();
        readiness.check("kafka").failing("unavailable");
        assert_eq!(readiness.report().checks.len(), 1);
        assert!(!readiness.is_ready());
    }
}
