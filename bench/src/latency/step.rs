//! The current step of a rebuild, from its JSON progress.

use std::io::{BufRead as _, BufReader, pipe};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

/// The current step of a rebuild; none before the first. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Step(Arc<Mutex<Option<String>>>);

impl Step {
    pub fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows the JSON lines that the command prints.
    pub fn follow(&self, command: &mut Command) -> anyhow::Result<()> {
        let (reader, writer) = pipe().context("cannot make a pipe")?;
        command.stdout(writer);
        let step = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                // `merging order_line` is the step `merging`.
                let state = line["state"].as_str().and_then(|state| state.split(' ').next());
                if let Some(state) = state {
                    *step.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.to_owned());
                }
            }
        });
        Ok(())
    }
}
