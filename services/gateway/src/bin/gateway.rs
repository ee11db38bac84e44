//! The gateway as a program of its own.

use std::process::ExitCode;

use jangbogo_gateway::GatewayArgs;
use jangbogo_platform::program;

fn main() -> ExitCode {
    let about = "Takes commands over HTTP and puts their events into the outbox";
    program::main("gateway", about, async |args: GatewayArgs, connections, shutdown| {
        shutdown.spawn("gateway", jangbogo_gateway::run(args, connections, shutdown.token()));
        shutdown.drain().await
    })
}
