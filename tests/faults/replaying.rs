//! Runs `replay` commands and lists generations.

use std::process::Output;

use jangbogo_fold::Processor;
use jangbogo_processors::PROCESSORS;
use jangbogo_store::{Live, Stored, generations};
use jangbogo_test_support::Shop;

/// Standard output and standard error of a command.
pub fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a `replay` command to its end.
pub async fn replay(shop: &Shop, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(shop.command(&["replay"]));
    command.args(arguments).kill_on_drop(true).output().await.unwrap()
}

/// Runs a `replay` command that must succeed. Returns its output.
pub async fn succeed(shop: &Shop, arguments: &[&str]) -> String {
    let output = replay(shop, arguments).await;
    assert!(output.status.success(), "replay {arguments:?}: {}: {}", output.status, output_text(&output));
    output_text(&output)
}

/// Runs a `replay` command that must fail with status 1. Returns its output.
pub async fn refused(shop: &Shop, arguments: &[&str]) -> String {
    let output = replay(shop, arguments).await;
    assert_eq!(output.status.code(), Some(1), "replay {arguments:?}: {}", output_text(&output));
    output_text(&output)
}

/// The live generation of every processor.
pub async fn live(shop: &Shop) -> Vec<Live> {
    let mut generations = Vec::new();
    for processor in PROCESSORS {
        generations.push(shop.live(processor).await.unwrap());
    }
    generations
}

/// All generations of a processor, the oldest first.
pub async fn stored(shop: &Shop, processor: &Processor) -> Vec<Stored> {
    generations(&mut shop.database().await, Some(processor.name)).await.unwrap()
}
