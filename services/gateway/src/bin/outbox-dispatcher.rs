//! The outbox dispatcher as a program of its own.

use std::process::ExitCode;

use jangbogo_gateway::dispatcher::{self, DispatcherArgs};
use jangbogo_platform::program;

fn main() -> ExitCode {
    let about = "Relays the outbox to Kafka; of several, one at a time";
    program::main("outbox-dispatcher", about, async |args: DispatcherArgs, connections, shutdown| {
        shutdown.spawn("outbox-dispatcher", dispatcher::run(args, connections, shutdown.token()));
        shutdown.drain().await
    })
}
