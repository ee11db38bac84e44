//! Conversations, and the answers in them.

use std::process::ExitCode;

fn main() -> ExitCode {
    processors::main::<processors::AssistantHost>()
}
