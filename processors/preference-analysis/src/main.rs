//! The program of the processor `preference-analysis`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_preference_analysis::App>()
}
