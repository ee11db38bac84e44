//! A temporary directory beside the models, in which a model is prepared before it is installed by a rename.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use jangbogo_embedding::registry::{FileErrors as _, ModelsDirectory, ModelsError};
use tempfile::TempDir;

const INCOMPLETE_PREFIX: &str = ".incomplete-";

/// A temporary directory, and a lock that excludes other processes. Dropping it deletes the one and releases the other,
/// so that an interruption leaves the models as they were.
pub struct Workspace {
    // Before the lock: fields are dropped in this order.
    temporary: TempDir,
    _lock: File,
}

impl Workspace {
    /// Blocks while another process has a workspace.
    pub fn open(models: &ModelsDirectory, progress: &impl Fn(&str)) -> Result<Self, ModelsError> {
        fs::create_dir_all(models.path()).or_file_error("create", models.path())?;
        let lock = lock(&models.path().join(".lock"), progress)?;
        remove_incomplete(models.path())?;
        let temporary = tempfile::Builder::new()
            .prefix(INCOMPLETE_PREFIX)
            .tempdir_in(models.path())
            .or_file_error("create a directory in", models.path())?;
        Ok(Self { temporary, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Moves a directory to its target, which it replaces.
    pub fn install(&self, content: &Path, target: &Path) -> Result<(), ModelsError> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).or_file_error("create", parent)?;
        }
        let replaced = self.path().join("replaced");
        let exists = target.exists();
        if exists {
            fs::rename(target, &replaced).or_file_error("replace", target)?;
        }
        let moved = fs::rename(content, target);
        if exists && moved.is_err() {
            fs::rename(&replaced, target).or_file_error("restore", target)?;
        }
        moved.or_file_error("create", target)
    }
}

/// Takes the lock, which ends with the returned file or the process.
fn lock(path: &Path, progress: &impl Fn(&str)) -> Result<File, ModelsError> {
    let file = File::create(path).or_file_error("create", path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress("waiting for another process that installs a model");
            file.lock().or_file_error("lock", path)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).or_file_error("lock", path),
    }
    Ok(file)
}

/// Deletes leftovers of interrupted processes. The caller holds the lock, so that none is in use.
fn remove_incomplete(directory: &Path) -> Result<(), ModelsError> {
    for entry in fs::read_dir(directory).or_file_error("list", directory)? {
        let entry = entry.or_file_error("list", directory)?;
        if entry.file_name().to_string_lossy().starts_with(INCOMPLETE_PREFIX) {
            // The pip of a killed process may still write there; the next call tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
