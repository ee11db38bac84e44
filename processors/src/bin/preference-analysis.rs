//! What messages say, and what members like.

use std::process::ExitCode;

fn main() -> ExitCode {
    processors::main::<processors::PreferenceAnalysisHost>()
}
