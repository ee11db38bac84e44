//! The catalogue in Elasticsearch.

use std::process::ExitCode;

fn main() -> ExitCode {
    processors::main::<processors::EsSyncHost>()
}
