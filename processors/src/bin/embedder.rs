//! Vectors of products' and messages' texts, and the embedding service.

use std::process::ExitCode;

fn main() -> ExitCode {
    processors::main::<processors::EmbedderHost>()
}
