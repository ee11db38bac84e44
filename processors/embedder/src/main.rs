//! The program of the processor `embedder`, with the embedding service.

use std::process::ExitCode;

fn main() -> ExitCode {
    jangbogo_host::app::main::<jangbogo_embedder::App>()
}
