//! Paths of a stack's files.

use std::path::{Path, PathBuf};

use jangbogo_platform::servers::Server;
use sha2::{Digest, Sha256};

use crate::error::StackError;
use crate::files;
use crate::user::User;

/// The directories of a native installation.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    base: PathBuf,
    /// Directory of programs that another stack has installed.
    software: Option<PathBuf>,
}

impl Layout {
    /// The layout of the stack directory `directory`; below `elsewhere` if that is given, with programs from `software`
    /// if that is.
    pub(crate) fn new(directory: &Path, elsewhere: Option<&Path>, software: Option<&Path>) -> Self {
        Self { base: elsewhere.unwrap_or(directory).to_owned(), software: software.map(Path::to_owned) }
    }

    /// Directory of the servers' files if `user`, who runs them, cannot access `directory`.
    pub(crate) fn elsewhere(directory: &Path, user: Option<&User>) -> Option<PathBuf> {
        if user.is_none_or(|user| user.reaches(directory)) {
            return None;
        }
        let digest = hex::encode(Sha256::digest(directory.as_os_str().as_encoded_bytes()));
        Some(Path::new("/var/lib/jangbogo").join(&digest[..12]))
    }

    /// Creates the directories that all servers share, and those of `server`, for `user` to write to.
    pub(crate) fn create(&self, server: Server, user: Option<&User>) -> Result<(), StackError> {
        files::create_directory(&self.software())?;
        let of_server = [self.configuration(server), self.data(server), self.temporary(server)];
        for directory in of_server.iter().chain([&self.logs()]) {
            files::create_directory(directory)?;
            if let Some(user) = user {
                user.own_directory(directory)?;
            }
        }
        files::set_mode(&self.data(server), 0o700)
    }

    /// Installed programs, a directory for each name and version.
    pub(crate) fn software(&self) -> PathBuf {
        self.software.clone().unwrap_or_else(|| self.base.join("software"))
    }

    pub(crate) fn configuration(&self, server: Server) -> PathBuf {
        self.base.join("config").join(server.name())
    }

    pub(crate) fn data(&self, server: Server) -> PathBuf {
        self.base.join("data").join(server.name())
    }

    pub(crate) fn temporary(&self, server: Server) -> PathBuf {
        self.base.join("tmp").join(server.name())
    }

    fn logs(&self) -> PathBuf {
        self.base.join("logs")
    }

    pub(crate) fn log(&self, server: Server) -> PathBuf {
        self.logs().join(format!("{}.log", server.name()))
    }
}
