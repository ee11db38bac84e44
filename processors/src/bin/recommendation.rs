//! Similar, popular and trending products, and members' histories.

use std::process::ExitCode;

fn main() -> ExitCode {
    processors::main::<processors::RecommendationHost>()
}
