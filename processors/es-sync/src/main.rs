//! The program of the processor `es-sync`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_es_sync::App>()
}
