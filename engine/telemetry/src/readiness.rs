//! Readiness: what a process needs to do its work, and whether it has it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tracing::{info, warn};

/// The named checks of a process. It is ready when each is passing. Clones share the checks.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Arc<Mutex<BTreeMap<String, Arc<Check>>>>,
}

/// Reports on one check; cheap enough for a hot path. Clones report on the same check.
#[derive(Clone, Debug)]
pub struct CheckHandle {
    check: Arc<Check>,
}

#[derive(Debug)]
struct Check {
    name: String,
    /// Equal to `state.passing`, and read without the lock while all is well.
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
    /// Whether every check is passing.
    pub ready: bool,
    /// Each check by name.
    pub checks: BTreeMap<String, CheckReport>,
}

/// One check in the body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Whether it is passing.
    pub ok: bool,
    /// Since when it is so: RFC 3339, UTC.
    pub since: String,
    /// Failures in the present outage, or in the last one.
    pub failures: u64,
    /// The newest failure's cause, kept after the check passes again. Empty if it never failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Readiness {
    /// The check of that name, made if need be. A new one counts as failing until it is reported on.
    #[must_use]
    pub fn check(&self, name: &str) -> CheckHandle {
        let mut checks = lock(&self.checks);
        let check = checks.entry(name.to_owned()).or_insert_with(|| Arc::new(Check::new(name)));
        CheckHandle { check: Arc::clone(check) }
    }

    /// How every check stands.
    #[must_use]
    pub fn report(&self) -> ReadinessReport {
        let checks: BTreeMap<String, CheckReport> =
            lock(&self.checks).iter().map(|(name, check)| (name.clone(), check.report())).collect();
        ReadinessReport { ready: checks.values().all(|check| check.ok), checks }
    }

    /// Whether every check is passing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        lock(&self.checks).values().all(|check| check.passing.load(Ordering::Acquire))
    }
}

impl CheckHandle {
    /// Reports that all is well.
    pub fn ok(&self) {
        if self.check.passing.load(Ordering::Acquire) {
            return;
        }
        let mut state = lock(&self.check.state);
        let now = Utc::now();
        if state.failures > 0 {
            info!(check = self.check.name, failures = state.failures, since = %state.since, "well again");
        }
        state.passing = true;
        state.since = now;
        self.check.passing.store(true, Ordering::Release);
    }

    /// Reports a failure. The first of an outage is logged, those after it only counted. The cause is shown by
    /// `/readyz`: it must hold no secret.
    pub fn failing(&self, cause: impl fmt::Display) {
        let cause = cause.to_string();
        let mut state = lock(&self.check.state);
        if state.passing || state.failures == 0 {
            warn!(check = self.check.name, error = cause, "failing; retried until it is well again");
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
            None if !state.passing => Some("not reached yet".to_owned()),
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
    fn a_check_fails_until_it_is_first_reported_on() {
        let readiness = Readiness::default();
        let postgres = readiness.check("postgres");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.report().checks["postgres"].last_error.as_deref(), Some("not reached yet"));
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
        readiness.check("kafka").failing("away");
        assert_eq!(readiness.report().checks.len(), 1);
        assert!(!readiness.is_ready());
    }
}
