//! A place beside the models, in which one is made ready before it is put among them.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use jangbogo_embedding::registry::ModelsDirectory;
use jangbogo_embedding::registry::error::{FileErrors as _, ModelsError};
use tempfile::TempDir;

const INCOMPLETE_PREFIX: &str = ".incomplete-";

/// A temporary directory, and the turn of who has it: others wait, of other processes too. Both end with it, and whoever is
/// interrupted leaves the models as they were.
pub struct Workspace {
    // Before the turn: fields are dropped in this order.
    temporary: TempDir,
    _turn: File,
}

impl Workspace {
    /// A place to make a model ready in. It blocks while another process has one.
    pub fn open(models: &ModelsDirectory, progress: &impl Fn(&str)) -> Result<Self, ModelsError> {
        fs::create_dir_all(models.path()).or_file_error("create", models.path())?;
        let turn = lock(&models.path().join(".lock"), progress)?;
        remove_incomplete(models.path())?;
        let temporary = tempfile::Builder::new()
            .prefix(INCOMPLETE_PREFIX)
            .tempdir_in(models.path())
            .or_file_error("create a directory in", models.path())?;
        Ok(Self { temporary, _turn: turn })
    }

    /// The temporary directory.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Puts a directory of it where it belongs, in place of what is there.
    pub fn put(&self, content: &Path, target: &Path) -> Result<(), ModelsError> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).or_file_error("create", parent)?;
        }
        let replaced = self.path().join("replaced");
        let is_there = target.exists();
        if is_there {
            fs::rename(target, &replaced).or_file_error("replace", target)?;
        }
        let put = fs::rename(content, target);
        if is_there && put.is_err() {
            fs::rename(&replaced, target).or_file_error("restore", target)?;
        }
        put.or_file_error("create", target)
    }
}

/// The lock that a process holds in its turn. It ends with the file that is returned, or the process.
fn lock(path: &Path, progress: &impl Fn(&str)) -> Result<File, ModelsError> {
    let file = File::create(path).or_file_error("create", path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress("another process is fetching; waiting for it");
            file.lock().or_file_error("lock", path)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).or_file_error("lock", path),
    }
    Ok(file)
}

/// Deletes what interrupted fetches left. The caller holds the lock, so none is under way.
fn remove_incomplete(directory: &Path) -> Result<(), ModelsError> {
    for entry in fs::read_dir(directory).or_file_error("list", directory)? {
        let entry = entry.or_file_error("list", directory)?;
        if entry.file_name().to_string_lossy().starts_with(INCOMPLETE_PREFIX) {
            // The pip of a fetch that was killed may still write there; the next fetch tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
