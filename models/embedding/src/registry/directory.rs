//! The directory of models.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::FileErrors as _;
use super::manifest::{Manifest, is_name};
use super::{MODELS, ModelFile, ModelSpec, ModelsError};

/// Setting of the directory of models.
#[derive(Args, Clone, Debug, Default)]
pub struct ModelsArgs {
    /// Directory of models [default: jangbogo/models in the user's cache, ~/.cache]
    #[arg(long, env = "JANGBOGO_MODELS", value_name = "DIRECTORY")]
    pub models: Option<PathBuf>,
}

impl ModelsArgs {
    /// The directory of the setting, or else that in the user's cache, which all clones share.
    ///
    /// # Errors
    /// When there is no setting, and the user has no home.
    pub fn directory(&self) -> Result<ModelsDirectory, ModelsError> {
        let named = self.models.clone();
        let directory = named.or_else(|| in_cache(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")));
        directory.map(ModelsDirectory).ok_or(ModelsError::NoDirectory)
    }

    /// As [`ModelsDirectory::find`]; a built-in model needs no directory.
    ///
    /// # Errors
    /// When there is no model of this name.
    pub fn find(&self, name: &str) -> Result<&'static ModelSpec, ModelsError> {
        built_in(name).map_or_else(|| self.directory()?.find(name), Ok)
    }
}

fn built_in(name: &str) -> Option<&'static ModelSpec> {
    MODELS.iter().find(|model| model.name == name)
}

fn in_cache(cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // The XDG specification requires that a relative path is ignored.
    let cache = cache.map(PathBuf::from).filter(|cache| cache.is_absolute());
    let home = home.filter(|home| !home.is_empty());
    Some(cache.or_else(|| Some(PathBuf::from(home?).join(".cache")))?.join("jangbogo/models"))
}

/// Subdirectory of models that users added.
const ADDED: &str = "added";

/// A directory of models, with a subdirectory for each version of each model.
#[derive(Clone, Debug)]
pub struct ModelsDirectory(PathBuf);

impl ModelsDirectory {
    /// The directory of `JANGBOGO_MODELS`, or else that in the user's cache: for programs without arguments, such as
    /// tests.
    ///
    /// # Errors
    /// When the variable is not set, and the user has no home.
    pub fn from_environment() -> Result<Self, ModelsError> {
        ModelsArgs { models: std::env::var_os("JANGBOGO_MODELS").map(PathBuf::from) }.directory()
    }

    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The built-in or added model of this name.
    ///
    /// # Errors
    /// When there is none (the message lists the known ones), or its manifest is unreadable.
    pub fn find(&self, name: &str) -> Result<&'static ModelSpec, ModelsError> {
        if let Some(model) = built_in(name) {
            return Ok(model);
        }
        // A name is untrusted, and must not be a path out of the directory.
        let added = if is_name(name) { Manifest::read(name, &self.added_at(name))? } else { None };
        added.ok_or_else(|| {
            let known = self.known().unwrap_or_else(|_| MODELS.iter().collect());
            ModelsError::Unknown { name: name.to_owned(), known: known.iter().map(|model| model.name).collect() }
        })
    }

    /// The built-in models, then the added ones by name.
    ///
    /// # Errors
    /// When a manifest is unreadable.
    pub fn known(&self) -> Result<Vec<&'static ModelSpec>, ModelsError> {
        let directory = self.0.join(ADDED);
        let mut added = Vec::new();
        if directory.exists() {
            for entry in fs::read_dir(&directory).or_file_error("list", &directory)? {
                let entry = entry.or_file_error("list", &directory)?;
                added.extend(Manifest::read(&entry.file_name().to_string_lossy(), &entry.path())?);
            }
        }
        added.sort_by_key(|model| model.name);
        Ok(MODELS.iter().chain(added).collect())
    }

    /// The directory of a model's files, which need not exist yet.
    #[must_use]
    pub fn path_of(&self, model: &ModelSpec) -> PathBuf {
        match &model.package {
            // Clones with other pinned versions share the directory.
            Some(package) => self.0.join(format!("{}-{}", model.name, package.version)),
            None => self.added_at(model.name),
        }
    }

    /// The directory of an added model.
    #[must_use]
    pub fn added_at(&self, name: &str) -> PathBuf {
        self.0.join(ADDED).join(name)
    }

    /// Verifies the checksum of every file of a model.
    ///
    /// # Errors
    /// When a file is missing, damaged or unreadable.
    pub fn verify(&self, model: &ModelSpec) -> Result<(), ModelsError> {
        let directory = self.path_of(model);
        model.files.iter().try_for_each(|file| file.verify(&directory))
    }

    /// Reads one file of a model, and verifies its checksum.
    ///
    /// # Errors
    /// When it is missing, damaged or unreadable.
    pub fn read(&self, model: &ModelSpec, name: &str) -> Result<Vec<u8>, ModelsError> {
        let directory = self.path_of(model);
        let file: Option<&ModelFile> = model.files.iter().find(|file| file.name == name);
        file.ok_or_else(|| ModelsError::Missing(directory.join(name)))?.read(&directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directory_is_in_the_user_s_cache() {
        let (cache, home) = (Some("/cache".into()), Some("/home/mina".into()));
        assert_eq!(in_cache(cache, home.clone()), Some("/cache/jangbogo/models".into()));
        assert_eq!(in_cache(None, home.clone()), Some("/home/mina/.cache/jangbogo/models".into()));
        assert_eq!(in_cache(Some("relative".into()), home), Some("/home/mina/.cache/jangbogo/models".into()));
        assert_eq!(in_cache(None, Some("".into())), None);
        assert_eq!(in_cache(None, None), None);
    }

    #[test]
    fn the_setting_overrides_the_default_directory() {
        let args = ModelsArgs { models: Some("/srv/models".into()) };
        assert_eq!(args.directory().unwrap().path(), Path::new("/srv/models"));
    }
}
