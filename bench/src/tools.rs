//! External tools, such as Python and Maven.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// A Python in a directory with the packages of a requirements file, which are downloaded on the first run.
pub async fn python(folder: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let python = folder.join("bin/python");
    if !python.exists() {
        finished(Command::new("python3").args(["-m", "venv"]).arg(folder)).await?;
    }
    let mut install = Command::new(&python);
    finished(install.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements)).await?;
    Ok(python)
}

/// Runs a tool to its end.
pub async fn finished(command: &mut Command) -> anyhow::Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let status = command.status().await.with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}
