//! What messages say, and what members like.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_preference_analysis::App>()
}
