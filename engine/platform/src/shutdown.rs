//! Graceful shutdown: the first signal cancels every task and waits for it to finish; a second signal, or the drain
//! limit, ends the process.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

/// Time that tasks have to finish after shutdown begins.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// The tasks of a process and the token that cancels them. Clones share both.
#[derive(Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Number of running tasks by name.
    running: BTreeMap<String, usize>,
    /// The first failure, which is the one that ended the process.
    failure: Option<ShutdownError>,
}

/// The process did not shut down cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// A task ended with an error, which ended the process.
    #[error("task {task} failed")]
    TaskFailed { task: String, source: Box<dyn Error + Send + Sync> },
    /// Tasks were still running at the drain limit.
    #[error("still running {limit:?} after shutdown began: {tasks}")]
    StillRunning {
        limit: Duration,
        /// Names, separated by commas.
        tasks: String,
    },
}

impl Shutdown {
    /// A shutdown that SIGINT or SIGTERM begins; a second signal ends the process at once.
    ///
    /// # Errors
    /// When the operating system rejects the signal handlers.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let token = shutdown.token.clone();
        tokio::spawn(async move {
            let signal = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            token.cancel();
            info!("{signal}: shutting down; a second signal ends at once");
            // The exit status a shell reports for a process that the signal killed.
            let status = tokio::select! {
                _ = interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
                _ = terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
            };
            error!("second signal: ending without waiting for tasks");
            std::process::exit(status);
        });
        Ok(shutdown)
    }

    /// Token that is cancelled when tasks should finish.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Begins the shutdown: cancels the token.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Runs a task that [`Shutdown::drain`] waits for. Its error or panic begins the shutdown and is what `drain`
    /// returns.
    pub fn spawn<Task, Failure>(&self, name: impl Into<String>, task: Task)
    where
        Task: Future<Output = Result<(), Failure>> + Send + 'static,
        Failure: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let name = name.into();
        let shutdown = self.clone();
        *self.state().running.entry(name.clone()).or_default() += 1;
        self.tasks.spawn(async move {
            // A task of its own, so that a panic arrives here as an error.
            let outcome = match tokio::spawn(task).await {
                Ok(outcome) => outcome.map_err(Into::into),
                Err(panic) => Err(panic.into()),
            };
            shutdown.task_ended(name, outcome);
        });
    }

    /// Waits until shutdown begins, then until every task has ended, 10 s at most.
    ///
    /// # Errors
    /// The first failure of a task, or the names of those that did not finish in time.
    pub async fn drain(self) -> Result<(), ShutdownError> {
        self.token.cancelled().await;
        self.tasks.close();
        let finished = tokio::time::timeout(DRAIN_LIMIT, self.tasks.wait()).await.is_ok();
        let mut state = self.state();
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        if finished {
            return Ok(());
        }
        let names: Vec<&str> = state.running.keys().map(String::as_str).collect();
        Err(ShutdownError::StillRunning { limit: DRAIN_LIMIT, tasks: names.join(", ") })
    }

    fn task_ended(&self, task: String, outcome: Result<(), Box<dyn Error + Send + Sync>>) {
        let mut state = self.state();
        if let Some(count) = state.running.get_mut(&task) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&task);
            }
        }
        let Err(source) = outcome else { return };
        error!(task, error = %jangbogo_telemetry::causes(source.as_ref()), "task failed: shutting down");
        state.failure.get_or_insert(ShutdownError::TaskFailed { task, source });
        self.token.cancel();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drains_tasks_that_finish_when_cancelled() {
        let shutdown = Shutdown::default();
        let token = shutdown.token();
        shutdown.spawn("worker", async move {
            token.cancelled().await;
            Ok::<(), io::Error>(())
        });
        shutdown.begin();
        shutdown.drain().await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_task_begins_the_shutdown_and_is_what_drain_returns() {
        let shutdown = Shutdown::default();
        shutdown.spawn("worker", async { Err(io::Error::other("disk full")) });
        let error = shutdown.drain().await.unwrap_err();
        assert_eq!(error.to_string(), "task worker failed");
        assert_eq!(error.source().unwrap().to_string(), "disk full");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let shutdown = Shutdown::default();
        shutdown.spawn("worker", async {
            assert_eq!(1, 2, "a bug");
            Ok::<(), io::Error>(())
        });
        assert!(matches!(shutdown.drain().await, Err(ShutdownError::TaskFailed { task, .. }) if task == "worker"));
    }

    #[tokio::test(start_paused = true)]
    async fn names_the_tasks_that_do_not_finish() {
        let shutdown = Shutdown::default();
        for name in ["publisher", "worker", "worker"] {
            shutdown.spawn(name, std::future::pending::<Result<(), io::Error>>());
        }
        shutdown.begin();
        let error = shutdown.drain().await.unwrap_err();
        assert_eq!(error.to_string(), "still running 10s after shutdown began: publisher, worker");
    }
}
