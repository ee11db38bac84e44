//! The program of the processor `assistant`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_assistant::App>()
}
