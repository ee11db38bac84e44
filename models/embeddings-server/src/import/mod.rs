//! Import of a user's own models from a folder in the layout of sentence-transformers, or a repository of a hub.
//!
//! A model is validated, and embeds a text, before it is installed with a manifest, by which [`ModelsDirectory::find`]
//! finds it. Events record its name, so that a name never stands for two models.

mod error;
mod hub;
mod layout;
mod source;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::Path;

use jangbogo_embedding::DIMENSIONS;
use jangbogo_embedding::registry::{
    self as models, CONFIG, FileEntry, FileErrors as _, Manifest, ModelSpec, ModelsDirectory, ModelsError,
    PACKED_WEIGHTS, TOKENIZER, WEIGHTS,
};

use self::layout::Layout;
use self::source::Source;
use crate::fetch::workspace::Workspace;
use crate::model::{self, Arithmetic, EmbeddingModel};

pub use self::error::ImportError;
pub use self::hub::HubArgs;

/// A text for the trial.
const TEXT: &str = "a red bag";
/// Tolerance of a vector's length of 1.
const LENGTH_TOLERANCE: f64 = 1e-3;
/// Digits of the weights' SHA-256 in a default name.
const DIGITS_IN_NAME: usize = 8;
/// Maximum characters of the source's name in a default name.
const CHARACTERS_IN_NAME: usize = 80;

/// A request to import a model.
#[derive(Clone, Debug)]
pub struct Import {
    /// Path of a folder, or a repository: `owner/name` or `owner/name@revision`.
    pub source: String,
    /// The model's name. Default: the source's last component and the first 8 digits of its weights' SHA-256.
    pub name: Option<String>,
    /// Prompt of queries. Default: the source's, or none.
    pub query_prompt: Option<String>,
    /// Prompt of passages. Default: the source's, or none.
    pub passage_prompt: Option<String>,
    /// The cosine, -1 to 1, from which on a text counts as similar to a query.
    pub similarity_threshold: f32,
    /// The licence of its weights.
    pub licence: String,
    /// Arithmetic of the trial.
    pub arithmetic: Arithmetic,
}

/// Validates a model, and installs it in `models`. Blocks for the duration of a download: not for threads that run
/// async tasks. Reports steps to `progress`.
///
/// Atomic: an interrupted call leaves the directory as it was. An installed copy of the same model is replaced.
///
/// # Errors
/// When the source is unreadable, or its model unsupported or damaged; when another model has the name; or when the
/// directory is not writable.
pub fn import_model(
    models: &ModelsDirectory,
    request: Import,
    hub: &HubArgs,
    progress: impl Fn(&str),
) -> Result<&'static ModelSpec, ImportError> {
    let source = Source::new(&request.source, hub)?;
    if let Some(name) = &request.name {
        check_name(models, name)?;
    }
    let layout = Layout::read(&source)?;
    let workspace = Workspace::open(models, &progress)?;
    let content = workspace.path().join("content");
    fs::create_dir(&content).or_file_error("create", &content)?;

    // Small files first: an unsupported model fails before its weights are downloaded.
    let config = copy(&source, &layout, CONFIG, &content)?.ok_or_else(|| missing_file(&source, &layout, CONFIG))?;
    let path = content.join(CONFIG);
    let shape = model::shape(&fs::read(&path).or_file_error("read", &path)?, DIMENSIONS);
    let shape = shape.map_err(|error| ImportError::Model { origin: source.origin(), source: error })?;
    let tokenizer =
        copy(&source, &layout, TOKENIZER, &content)?.ok_or_else(|| missing_file(&source, &layout, TOKENIZER))?;
    progress(&format!("copying the weights from {}", source.origin()));
    let weights = match copy(&source, &layout, WEIGHTS, &content)? {
        Some(weights) => weights,
        None => {
            copy(&source, &layout, PACKED_WEIGHTS, &content)?.ok_or_else(|| missing_file(&source, &layout, WEIGHTS))?
        }
    };

    let Import { query_prompt, passage_prompt, similarity_threshold, licence, arithmetic, .. } = request;
    let manifest = Manifest {
        name: request.name.unwrap_or_else(|| default_name(&source.name(), &weights.sha256)),
        dimensions: DIMENSIONS,
        max_tokens: layout
            .max_tokens
            .unwrap_or(NonZeroUsize::MAX)
            .min(shape.positions.try_into().unwrap_or(NonZeroUsize::MIN)),
        query_prompt: query_prompt.or(layout.query_prompt).unwrap_or_default(),
        passage_prompt: passage_prompt.or(layout.passage_prompt).unwrap_or_default(),
        similarity_threshold,
        origin: source.origin(),
        licence,
        files: vec![weights, tokenizer, config],
    };
    manifest.write(&content)?;

    // Read from the workspace in the same way as when it is installed.
    let staged = ModelsDirectory::at(workspace.path());
    workspace.install(&content, &staged.added_at(&manifest.name))?;
    let spec = staged.find(&manifest.name)?;
    if let Some(installed) = check_name(models, spec.name)?
        && !installed.embeds_as(spec)
    {
        return Err(ImportError::Taken(manifest.name));
    }
    progress("embedding a text for a trial");
    check_vector(&staged, spec, arithmetic, &source)?;
    workspace.install(&staged.path_of(spec), &models.path_of(spec))?;
    Ok(spec)
}

/// The added model of this name, if there is one.
fn check_name(models: &ModelsDirectory, name: &str) -> Result<Option<&'static ModelSpec>, ImportError> {
    if !models::is_name(name) {
        return Err(ImportError::Name(name.to_owned()));
    }
    match models.find(name) {
        Ok(spec) if spec.package.is_some() => Err(ImportError::Taken(name.to_owned())),
        Ok(spec) => Ok(Some(spec)),
        Err(ModelsError::Unknown { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn default_name(source: &str, sha256: &str) -> String {
    let allowed = source.chars().map(|it| if models::is_of_name(it) { it } else { '-' });
    let name: String = allowed.skip_while(|it| !it.is_ascii_alphanumeric()).take(CHARACTERS_IN_NAME).collect();
    let name = if name.is_empty() { "model" } else { &name };
    format!("{name}-{}", sha256.get(..DIGITS_IN_NAME).unwrap_or(sha256))
}

/// Copies a file of the network; none if the source does not have it.
fn copy(source: &Source, layout: &Layout, name: &str, content: &Path) -> Result<Option<FileEntry>, ImportError> {
    let path = content.join(name);
    let mut file = File::create(&path).or_file_error("create", &path)?;
    if !source.copy(&layout.file(name), &mut file)? {
        fs::remove_file(&path).or_file_error("delete", &path)?;
        return Ok(None);
    }
    file.sync_all().or_file_error("write", &path)?;
    let bytes = file.metadata().or_file_error("read", &path)?.len();
    Ok(Some(FileEntry { name: name.to_owned(), bytes, sha256: models::sha256(&path)? }))
}

fn missing_file(source: &Source, layout: &Layout, name: &str) -> ImportError {
    let advice =
        "save_pretrained of a recent sentence-transformers writes config.json, tokenizer.json and model.safetensors";
    ImportError::MissingFile { origin: source.origin(), file: layout.file(name), advice }
}

/// Loads the model and embeds a text, whose vector must have the length 1.
fn check_vector(
    models: &ModelsDirectory,
    spec: &'static ModelSpec,
    arithmetic: Arithmetic,
    source: &Source,
) -> Result<(), ImportError> {
    let embedded = EmbeddingModel::load(models, spec, arithmetic, NonZeroUsize::MIN);
    let embedded =
        embedded.and_then(|model| model.embed_batch(&[&spec.prompts.before(jangbogo_embedding::Purpose::Query, TEXT)]));
    let embedded = embedded.map_err(|error| ImportError::Model { origin: source.origin(), source: error })?;
    let components = embedded.vectors.iter().flatten();
    let length = components.map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    // False for NaN.
    if (length - 1.0).abs() < LENGTH_TOLERANCE {
        return Ok(());
    }
    Err(ImportError::Vector { origin: source.origin(), length })
}
