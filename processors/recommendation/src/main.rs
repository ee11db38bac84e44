//! Similar, popular and trending products, and members' histories.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_recommendation::App>()
}
