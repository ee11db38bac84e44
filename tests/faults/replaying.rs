//! Running the `replay` commands, and what becomes of generations.

use std::process::Output;

use jangbogo_fold::Processor;
use jangbogo_store::{Stored, generations};

use crate::support::Shop;

/// What a command said on both of its outputs.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a `replay` command to its end.
pub async fn replay(shop: &Shop, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(shop.command(&["replay"]));
    command.args(arguments).kill_on_drop(true).output().await.unwrap()
}

/// Runs a `replay` command that does what it should. Gives what it said.
pub async fn succeed(shop: &Shop, arguments: &[&str]) -> String {
    let output = replay(shop, arguments).await;
    assert!(output.status.success(), "replay {arguments:?}: {}: {}", output.status, said(&output));
    said(&output)
}

/// Runs a `replay` command that is refused. Gives what it said.
pub async fn refused(shop: &Shop, arguments: &[&str]) -> String {
    let output = replay(shop, arguments).await;
    assert_eq!(output.status.code(), Some(1), "replay {arguments:?}: {}", said(&output));
    said(&output)
}

/// Every generation of a processor, the oldest first.
pub async fn stored(shop: &Shop, processor: &Processor) -> Vec<Stored> {
    generations(&mut shop.database().await, Some(processor.name)).await.unwrap()
}
