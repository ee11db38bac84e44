//! Options of the stack, as the command line and the environment give them.

use clap::ArgMatches;
use jangbogo_platform::config::Connections;
use jangbogo_platform::running_stack;

use crate::{Options, StackError};

/// The stack's options; servers whose addresses are given by flag or environment are external.
///
/// # Errors
/// When an address in the environment has the wrong form.
pub fn stack_options(matches: &ArgMatches, connections: &Connections) -> Result<Options, StackError> {
    let directory = running_stack::directory()?;
    let given = running_stack::given_addresses(matches, connections)?;
    Ok(Options { directory, given, ..Options::default() })
}
