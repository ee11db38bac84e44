//! Sales by day and category, and members' purchase patterns.

use std::process::ExitCode;

fn main() -> ExitCode {
    processors::main::<processors::AnalyticsHost>()
}
