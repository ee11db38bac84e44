//! Sources of imported models.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jangbogo_embedding::registry::FileErrors as _;
use serde::de::DeserializeOwned;

use super::error::ImportError;
use super::hub::{HubArgs, Repository};

/// A folder, or a repository of a hub.
pub(super) enum Source {
    Folder(PathBuf),
    Hub(Box<Repository>),
}

impl Source {
    /// An existing folder, or else a repository of this id.
    pub(super) fn new(source: &str, hub: &HubArgs) -> Result<Self, ImportError> {
        let folder = Path::new(source);
        if folder.is_dir() {
            // Resolves `.` and links to a name.
            return Ok(Self::Folder(folder.canonicalize().or_file_error("read", folder)?));
        }
        let repository = Repository::new(source, hub)?.ok_or_else(|| ImportError::Source(source.to_owned()))?;
        Ok(Self::Hub(Box::new(repository)))
    }

    /// Name of the folder or repository.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Folder(folder) => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Hub(repository) => repository.name.clone(),
        }
    }

    /// Path or URL of the source.
    pub(super) fn origin(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Hub(repository) => repository.to_string(),
        }
    }

    /// Path or URL of a file.
    pub(super) fn location(&self, file: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(file).display().to_string(),
            Self::Hub(repository) => repository.url(file).to_string(),
        }
    }

    /// Copies a file, blocking; false if there is none.
    pub(super) fn copy(&self, file: &str, to: &mut dyn Write) -> Result<bool, ImportError> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Hub(repository) => return repository.copy(file, to),
        };
        let path = folder.join(file);
        let mut opened = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.or_file_error("read", &path)?,
        };
        io::copy(&mut opened, to).or_file_error("copy", &path)?;
        Ok(true)
    }

    /// Parses a JSON file; none if there is none.
    pub(super) fn json<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, ImportError> {
        let mut text = Vec::new();
        if !self.copy(file, &mut text)? {
            return Ok(None);
        }
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|source| ImportError::Json { file: self.location(file), source })
    }
}
