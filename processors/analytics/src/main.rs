//! Sales by day and category, and members' purchase patterns.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_analytics::App>()
}
