//! Where models live.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::FileErrors as _;
use super::manifest::{Manifest, is_name};
use super::{MODELS, ModelFile, ModelSpec, ModelsError};

/// Where models live.
#[derive(Args, Clone, Debug, Default)]
pub struct ModelsArgs {
    /// The directory of models [default: jangbogo/models in the user's cache, ~/.cache]
    #[arg(long, env = "JANGBOGO_MODELS", value_name = "DIRECTORY")]
    pub models: Option<PathBuf>,
}

impl ModelsArgs {
    /// The directory that was named, else the one in the user's cache, which all clones share.
    ///
    /// # Errors
    /// When none was named and the user has no home.
    pub fn directory(&self) -> Result<ModelsDirectory, ModelsError> {
        let named = self.models.clone();
        let directory = named.or_else(|| in_cache(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")));
        directory.map(ModelsDirectory).ok_or(ModelsError::NoDirectory)
    }

    /// The model of this name, as [`ModelsDirectory::find`] has it. A model of the table needs no directory.
    ///
    /// # Errors
    /// When none is called so.
    pub fn find(&self, name: &str) -> Result<&'static ModelSpec, ModelsError> {
        built_in(name).map_or_else(|| self.directory()?.find(name), Ok)
    }
}

fn built_in(name: &str) -> Option<&'static ModelSpec> {
    MODELS.iter().find(|model| model.name == name)
}

fn in_cache(cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // The XDG specification: a relative path is to be ignored.
    let cache = cache.map(PathBuf::from).filter(|cache| cache.is_absolute());
    let home = home.filter(|home| !home.is_empty());
    Some(cache.or_else(|| Some(PathBuf::from(home?).join(".cache")))?.join("jangbogo/models"))
}

/// The directory of models that users added, in the directory of models.
const ADDED: &str = "added";

/// A directory of models: a directory in it for each version of each.
#[derive(Clone, Debug)]
pub struct ModelsDirectory(PathBuf);

impl ModelsDirectory {
    /// The directory that `JANGBOGO_MODELS` names, else the one in the user's cache: for programs without arguments, as
    /// tests are.
    ///
    /// # Errors
    /// When none was named and the user has no home.
    pub fn of_environment() -> Result<Self, ModelsError> {
        ModelsArgs { models: std::env::var_os("JANGBOGO_MODELS").map(PathBuf::from) }.directory()
    }

    /// The directory at `path`, which need not be there yet.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The model of this name: of the table, or one that was added here.
    ///
    /// # Errors
    /// When none is called so (the message lists those that are known), or what was added cannot be read.
    pub fn find(&self, name: &str) -> Result<&'static ModelSpec, ModelsError> {
        if let Some(model) = built_in(name) {
            return Ok(model);
        }
        // A name comes from anywhere, and must not lead out of the directory.
        let added = if is_name(name) { Manifest::read(name, &self.added_at(name))? } else { None };
        added.ok_or_else(|| {
            let known = self.known().unwrap_or_else(|_| MODELS.iter().collect());
            ModelsError::Unknown { name: name.to_owned(), known: known.iter().map(|model| model.name).collect() }
        })
    }

    /// Every model that is known here: those of the table, then those that were added, by name.
    ///
    /// # Errors
    /// When what was added cannot be read.
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

    /// Where the files of `model` are, or will be once they are fetched.
    #[must_use]
    pub fn of(&self, model: &ModelSpec) -> PathBuf {
        match &model.package {
            // Clones with other pins share the directory.
            Some(package) => self.0.join(format!("{}-{}", model.name, package.version)),
            None => self.added_at(model.name),
        }
    }

    /// Where an added model of this name is.
    pub fn added_at(&self, name: &str) -> PathBuf {
        self.0.join(ADDED).join(name)
    }

    /// Compares every file of `model` with what was pinned.
    ///
    /// # Errors
    /// The first file that is missing, damaged or unreadable.
    pub fn verify(&self, model: &ModelSpec) -> Result<(), ModelsError> {
        let directory = self.of(model);
        model.files.iter().try_for_each(|file| file.verify(&directory))
    }

    /// The content of one file of `model`, compared with what was pinned.
    ///
    /// # Errors
    /// When it is missing, damaged or unreadable.
    pub fn read(&self, model: &ModelSpec, name: &str) -> Result<Vec<u8>, ModelsError> {
        let directory = self.of(model);
        let file: Option<&ModelFile> = model.files.iter().find(|file| file.name == name);
        file.ok_or_else(|| ModelsError::Missing(directory.join(name)))?.read(&directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_live_in_the_user_s_cache() {
        let (cache, home) = (Some("/cache".into()), Some("/home/mina".into()));
        assert_eq!(in_cache(cache, home.clone()), Some("/cache/jangbogo/models".into()));
        assert_eq!(in_cache(None, home.clone()), Some("/home/mina/.cache/jangbogo/models".into()));
        assert_eq!(in_cache(Some("relative".into()), home), Some("/home/mina/.cache/jangbogo/models".into()));
        assert_eq!(in_cache(None, Some("".into())), None);
        assert_eq!(in_cache(None, None), None);
    }

    #[test]
    fn a_directory_that_was_named_is_taken() {
        let args = ModelsArgs { models: Some("/srv/models".into()) };
        assert_eq!(args.directory().unwrap().path(), Path::new("/srv/models"));
    }
}
