//! Where a model is added from.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jangbogo_embedding::registry::FileErrors as _;
use serde::de::DeserializeOwned;

use super::error::AddError;
use super::hub::{HubArgs, Repository};

/// A folder, or a repository of a hub.
pub(super) enum Source {
    Folder(PathBuf),
    Hub(Box<Repository>),
}

impl Source {
    /// A folder that is there, else a repository of this id.
    pub(super) fn new(source: &str, hub: &HubArgs) -> Result<Self, AddError> {
        let folder = Path::new(source);
        if folder.is_dir() {
            // `.` and links have a name too.
            return Ok(Self::Folder(folder.canonicalize().or_file_error("read", folder)?));
        }
        let repository = Repository::new(source, hub)?.ok_or_else(|| AddError::Source(source.to_owned()))?;
        Ok(Self::Hub(Box::new(repository)))
    }

    /// What the model is called there.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Folder(folder) => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Hub(repository) => repository.name.clone(),
        }
    }

    /// Where it is.
    pub(super) fn origin(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Hub(repository) => repository.to_string(),
        }
    }

    /// Where a file of it is.
    pub(super) fn place(&self, file: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(file).display().to_string(),
            Self::Hub(repository) => repository.url(file).to_string(),
        }
    }

    /// Writes a file of it; false where it has none. It blocks.
    pub(super) fn copy(&self, file: &str, to: &mut dyn Write) -> Result<bool, AddError> {
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

    /// What a small file of it says; none where it has none.
    pub(super) fn json<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, AddError> {
        let mut text = Vec::new();
        if !self.copy(file, &mut text)? {
            return Ok(None);
        }
        let understood = serde_json::from_slice(&text);
        understood.map(Some).map_err(|source| AddError::Json { file: self.place(file), source })
    }
}
