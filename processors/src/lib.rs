//! The processors as programs: each binary says which processor it is, the rest is the same for all.

use std::process::ExitCode;

use runtime::fold::Processor;
use runtime::process::{self, Hosted, ProcessorArgs};
use runtime::program;
use runtime::telemetry::Telemetry;

/// The `main` of a processor's binary.
#[must_use]
pub fn main(processor: &'static Processor) -> ExitCode {
    program::main(processor.name, about(processor), async |args: ProcessorArgs, connections, shutdown| {
        let hosted = Hosted { processor, reactors: Vec::new() };
        process::run(hosted, connections, args, Telemetry::new()?, shutdown).await
    })
}

/// What a processor is for, with the topics it reads.
#[must_use]
pub fn about(processor: &Processor) -> String {
    let topics: Vec<&str> = processor.topics().into_iter().map(events::Topic::name).collect();
    format!("Folds {} into {}", topics.join(", "), processor.description)
}
