//! The catalogue in Elasticsearch.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_es_sync::App>()
}
