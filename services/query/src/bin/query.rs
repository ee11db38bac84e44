//! The query service as a program of its own.

use std::process::ExitCode;

use jangbogo_platform::program;
use jangbogo_query::QueryArgs;

fn main() -> ExitCode {
    let about = "Answers reads over HTTP: recommendations, search, analytics, and the pipeline's own state";
    program::main("query", about, async |args: QueryArgs, connections, shutdown| {
        shutdown.spawn("query", jangbogo_query::run(args, connections, shutdown.token()));
        shutdown.drain().await
    })
}
