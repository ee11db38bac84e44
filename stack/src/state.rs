//! The state file of a stack directory, and its lock.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jangbogo_platform::running_stack::STATE_FILE;
use serde::{Deserialize, Serialize};

use crate::error::StackError;
use crate::files::{self, FileErrors};

const LOCK_NAME: &str = "lock";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An external server, whose address is in the environment.
    Environment,
    /// A Docker container of `docker-compose.yml`.
    Docker,
    /// A process started from the stack directory.
    Native,
}

impl Source {
    /// The lower-case name shown in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Docker => "docker",
            Self::Native => "native",
        }
    }
}

/// The contents of `state.json`. It holds the Postgres password, so only its owner may read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Docker or native; never changed, because the data is there.
    pub source: Option<Source>,
    /// Ports by name of the listener.
    pub ports: BTreeMap<String, u16>,
    pub postgres_password: String,
    /// Directory of software, data and logs, if not the stack directory itself.
    pub elsewhere: Option<PathBuf>,
}

impl State {
    /// The state of `directory`; `None` if nothing is provisioned.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, StackError> {
        let path = directory.join(STATE_FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result.or_file_error("read", &path)?,
        };
        match serde_json::from_str(&text) {
            Ok(state) => Ok(Some(state)),
            Err(source) => Err(StackError::State { path, source }),
        }
    }

    pub(crate) fn save(&self, directory: &Path) -> Result<(), StackError> {
        let path = directory.join(STATE_FILE);
        let text =
            serde_json::to_string_pretty(self).map_err(|source| StackError::State { path: path.clone(), source })?;
        files::write_atomically(&path, &text, 0o600)
    }
}

/// Lock of a stack directory: exclusive while servers are started or stopped, shared while single servers are
/// restarted.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the exclusive lock of `directory`; calls `on_wait` first if another process holds it.
    pub(crate) async fn acquire(directory: &Path, on_wait: impl FnOnce()) -> Result<Self, StackError> {
        let (path, file) = Self::open(directory)?;
        if file.try_lock().is_ok() {
            return Ok(Self { _file: file });
        }
        on_wait();
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        let file = locked.unwrap_or_else(|error| Err(std::io::Error::other(error))).or_file_error("lock", &path)?;
        Ok(Self { _file: file })
    }

    /// Waits for the shared lock of `directory`.
    pub(crate) async fn share(directory: &Path) -> Result<Self, StackError> {
        let (path, file) = Self::open(directory)?;
        let locked = tokio::task::spawn_blocking(move || file.lock_shared().map(|()| file)).await;
        let file = locked.unwrap_or_else(|error| Err(std::io::Error::other(error))).or_file_error("lock", &path)?;
        Ok(Self { _file: file })
    }

    fn open(directory: &Path) -> Result<(PathBuf, File), StackError> {
        files::create_directory(directory)?;
        let path = directory.join(LOCK_NAME);
        let file = File::options().create(true).truncate(false).write(true).open(&path).or_file_error("open", &path)?;
        Ok((path, file))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_state_is_read_back_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(State::load(directory.path()).unwrap(), None);
        let mut state = State { source: Some(Source::Native), postgres_password: "secret".into(), ..State::default() };
        state.ports.insert("kafka".into(), 9092);
        state.save(directory.path()).unwrap();
        assert_eq!(State::load(directory.path()).unwrap(), Some(state));
        let metadata = std::fs::metadata(directory.path().join(STATE_FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_foreign_state_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(STATE_FILE), "{\"ports\": 1}").unwrap();
        let error = State::load(directory.path()).unwrap_err();
        assert!(error.to_string().contains(STATE_FILE), "{error}");
    }

    #[tokio::test]
    async fn the_lock_is_exclusive() {
        let directory = tempfile::tempdir().unwrap();
        let waited = AtomicBool::new(false);
        let first = Lock::acquire(directory.path(), || panic!("the lock is free")).await.unwrap();
        let second = Lock::acquire(directory.path(), || waited.store(true, Ordering::SeqCst));
        tokio::pin!(second);
        let early = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
        assert!(early.is_err(), "two holders");
        assert!(waited.load(Ordering::SeqCst));
        let shared = tokio::time::timeout(Duration::from_millis(100), Lock::share(directory.path()));
        assert!(shared.await.is_err(), "shared while it is held");
        drop(first);
        second.await.unwrap();
        let shared = Lock::share(directory.path()).await.unwrap();
        let _both = Lock::share(directory.path()).await.unwrap();
        drop(shared);
    }
}
