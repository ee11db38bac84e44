//! Options of a stack.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jangbogo_platform::running_stack;
use jangbogo_platform::servers::Server;

use crate::error::StackError;

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The stack directory: software, data, logs and the state file.
    pub directory: PathBuf,
    /// Ports of servers that are started, instead of the default or any free one.
    pub ports: BTreeMap<Server, u16>,
    /// Addresses of external servers, which are used and never stopped.
    pub given: BTreeMap<Server, String>,
    /// Starts native processes even where a Docker engine is available.
    pub native: bool,
    /// Directory of the native servers' programs, if not below `directory`.
    pub software: Option<PathBuf>,
}

impl Options {
    /// Options given by the environment: the stack directory and external servers (see
    /// [`running_stack::directory`] and [`running_stack::addresses_of_environment`]).
    ///
    /// # Errors
    /// When an address has the wrong form, or the current directory is gone.
    pub fn from_environment() -> Result<Self, StackError> {
        let (directory, given) = (running_stack::directory()?, running_stack::addresses_of_environment()?);
        Ok(Self { directory, given, ..Self::default() })
    }
}
