//! Conversations, and the answers in them.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_assistant::App>()
}
