//! The query service as a program of its own.

use std::process::ExitCode;

use query::QueryArgs;
use runtime::program;

fn main() -> ExitCode {
    let about = "Answers reads over HTTP: recommendations, search, analytics, and the pipeline's own state";
    program::main("query", about, async |args: QueryArgs, connections, shutdown| {
        shutdown.spawn("query", query::run(args, connections, shutdown.token()));
        shutdown.drain().await
    })
}
