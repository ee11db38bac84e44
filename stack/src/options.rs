//! What a caller can choose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::StackError;
use crate::files::FileErrors;
use crate::server::{Server, parse_address};

const DIRECTORY_VARIABLE: &str = "JANGBOGO_STACK_DIR";
const DIRECTORY_NAME: &str = ".stack";
/// A directory that holds one of these is the root of the project.
const ROOT_MARKS: [&str; 2] = ["topology.toml", "docker-compose.yml"];

/// What a caller can choose about a stack.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where software, data, logs and state are kept.
    pub directory: PathBuf,
    /// Ports to use for servers that are started, instead of the well-known ones or any that are free.
    pub ports: BTreeMap<Server, u16>,
    /// Servers that are there already, by address: they are used and never stopped.
    pub given: BTreeMap<Server, String>,
    /// Whether servers that are started are processes of this machine even where a Docker engine answers.
    pub native: bool,
    /// Where the programs of native servers are installed, if not in the directory.
    pub software: Option<PathBuf>,
}

impl Options {
    /// The choices that the environment makes: the directory by `JANGBOGO_STACK_DIR` (else `.stack` in the project's
    /// root, or in the current directory outside of any), given servers by `KAFKA_BOOTSTRAP_SERVERS`, `POSTGRES_URL`, `REDIS_URL` and
    /// `ELASTICSEARCH_URL`.
    ///
    /// # Errors
    /// When an address is not of its form, or the current directory is gone.
    pub fn from_environment() -> Result<Self, StackError> {
        let mut given = BTreeMap::new();
        for server in Server::ALL {
            let variable = std::env::var(server.environment_variable()).unwrap_or_default();
            if !variable.trim().is_empty() {
                given.insert(server, parse_address(server, &variable)?);
            }
        }
        let directory = match std::env::var_os(DIRECTORY_VARIABLE) {
            Some(directory) if !directory.is_empty() => PathBuf::from(directory),
            _ => {
                let here = Path::new(".");
                let current = std::env::current_dir().or_file_error("read", here)?;
                default_directory(&current)
            }
        };
        let directory = std::path::absolute(&directory).or_file_error("find", &directory)?;
        Ok(Self { directory, given, ..Self::default() })
    }
}

fn default_directory(current: &Path) -> PathBuf {
    let is_root = |directory: &&Path| ROOT_MARKS.iter().any(|mark| directory.join(mark).is_file());
    current.ancestors().find(is_root).unwrap_or(current).join(DIRECTORY_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_directory_is_in_the_project_s_root() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(default_directory(&inner), inner.join(".stack"));
        std::fs::write(directory.path().join("topology.toml"), "").unwrap();
        assert_eq!(default_directory(&inner), directory.path().join(".stack"));
    }
}
