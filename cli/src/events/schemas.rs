//! `jangbogo events schemas`: generates the events' schemas, or checks that they are up to date.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, bail};
use clap::Args;
use jangbogo_events::schemas;

/// Generates the contract of the event types: JSON Schemas, examples, one document of all topics
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo events schemas            generate the files
  jangbogo events schemas --check    exit 1 and name the files that differ, writing nothing

Files of older versions are not generated: their examples must stay decodable.")]
pub struct SchemasArguments {
    /// Write nothing; fail if a file differs, is missing or belongs to no event
    #[arg(long)]
    check: bool,
    /// Directory of the files
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas"), hide_default_value = true)]
    directory: PathBuf,
}

pub fn run(arguments: &SchemasArguments) -> anyhow::Result<()> {
    let generated = schemas::generated().context("an example cannot be written as JSON")?;
    if !arguments.check {
        fs::create_dir_all(&arguments.directory)
            .with_context(|| format!("cannot create {}", arguments.directory.display()))?;
        for (name, content) in &generated {
            let path = arguments.directory.join(name);
            if read(&path)?.as_deref() != Some(content) {
                fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
                println!("wrote {name}");
            }
        }
    }
    let mut wrong = Vec::new();
    for (name, content) in &generated {
        match read(&arguments.directory.join(name))? {
            None => wrong.push(format!("{name}: missing")),
            Some(found) if found != *content => wrong.push(format!("{name}: differs from the event type")),
            Some(_) => {}
        }
    }
    let kept: Vec<String> = schemas::kept().collect();
    for name in &kept {
        if read(&arguments.directory.join(name))?.is_none() {
            wrong.push(format!("{name}: missing (an old version's file is never generated: restore it)"));
        }
    }
    for name in json_files(&arguments.directory)? {
        if !generated.contains_key(&name) && !kept.contains(&name) {
            wrong.push(format!("{name}: belongs to no event type"));
        }
    }
    if wrong.is_empty() {
        println!("{} files match the event types", generated.len() + kept.len());
        return Ok(());
    }
    bail!("{} has drifted; run `jangbogo events schemas`:\n  {}", arguments.directory.display(), wrong.join("\n  "))
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn json_files(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "json") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
