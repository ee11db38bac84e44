//! Where models live.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{ModelFile, ModelSpec, ModelsError};

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
}

fn in_cache(cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // The XDG specification: a relative path is to be ignored.
    let cache = cache.map(PathBuf::from).filter(|cache| cache.is_absolute());
    let home = home.filter(|home| !home.is_empty());
    Some(cache.or_else(|| Some(PathBuf::from(home?).join(".cache")))?.join("jangbogo/models"))
}

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

    /// Where the files of `model` are, or will be once they are fetched.
    #[must_use]
    pub fn of(&self, model: &ModelSpec) -> PathBuf {
        // Clones with other pins share the directory.
        self.0.join(format!("{}-{}", model.name, model.package.version))
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
    pub(crate) fn read(&self, model: &ModelSpec, name: &str) -> Result<Vec<u8>, ModelsError> {
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
