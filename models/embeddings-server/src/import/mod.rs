//! Models of a user's own: from a folder in the layout of sentence-transformers, or from a repository of a hub.
//!
//! What is given is checked, and computed with once, before any of it is kept. Then its files stand among the models, with a
//! manifest, and [`ModelsDirectory::find`] finds it by its name. Events record that name, so it never names another model.

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

pub use self::error::AddError;
pub use self::hub::HubArgs;

/// Any text.
const TEXT: &str = "a red bag";
/// How far from 1 the length of a vector may be.
const LENGTH_TOLERANCE: f64 = 1e-3;
/// Digits of the weights' SHA-256 in a name that nobody chose.
const DIGITS_IN_NAME: usize = 8;
/// Characters of the source's name in it.
const CHARACTERS_IN_NAME: usize = 80;

/// A model to be added.
#[derive(Clone, Debug)]
pub struct Addition {
    /// A folder, or a repository: `owner/name`, or `owner/name@revision`.
    pub source: String,
    /// What it is to be called; else the source's last component, and the first 8 digits of its weights' SHA-256.
    pub name: Option<String>,
    /// What stands before texts that look for others; else what the source says, or nothing.
    pub query_prompt: Option<String>,
    /// What stands before texts that are to be found; else what the source says, or nothing.
    pub passage_prompt: Option<String>,
    /// The cosine from which on a text is near what is searched for, -1 to 1.
    pub similarity_threshold: f32,
    /// The licence of its weights.
    pub licence: String,
    /// How it is computed when it is tried.
    pub arithmetic: Arithmetic,
}

/// Checks a model, and puts it among those of `models`. It blocks, for as long as a download takes, and must not be called by
/// a thread that runs async tasks; `progress` is told what it does.
///
/// Whoever interrupts it leaves the directory as it was. A model that is there already is put there anew.
///
/// # Errors
/// When the source cannot be read, is not of a model that is computed here, or does not compute; when another model has the
/// name; or when the directory cannot be written to.
pub fn add(
    models: &ModelsDirectory,
    addition: Addition,
    hub: &HubArgs,
    progress: impl Fn(&str),
) -> Result<&'static ModelSpec, AddError> {
    let source = Source::new(&addition.source, hub)?;
    if let Some(name) = &addition.name {
        check_name(models, name)?;
    }
    let layout = Layout::read(&source)?;
    let workspace = Workspace::open(models, &progress)?;
    let content = workspace.path().join("content");
    fs::create_dir(&content).or_file_error("create", &content)?;

    // The small ones first: they say whether the others are worth their time.
    let config = keep(&source, &layout, CONFIG, &content)?.ok_or_else(|| lacks(&source, &layout, CONFIG))?;
    let path = content.join(CONFIG);
    let shape = model::shape(&fs::read(&path).or_file_error("read", &path)?, DIMENSIONS);
    let shape = shape.map_err(|error| AddError::Model { origin: source.origin(), source: error })?;
    let tokenizer = keep(&source, &layout, TOKENIZER, &content)?.ok_or_else(|| lacks(&source, &layout, TOKENIZER))?;
    progress(&format!("copying the weights from {}", source.origin()));
    let weights = match keep(&source, &layout, WEIGHTS, &content)? {
        Some(weights) => weights,
        None => keep(&source, &layout, PACKED_WEIGHTS, &content)?.ok_or_else(|| lacks(&source, &layout, WEIGHTS))?,
    };

    let Addition { query_prompt, passage_prompt, similarity_threshold, licence, arithmetic, .. } = addition;
    let manifest = Manifest {
        name: addition.name.unwrap_or_else(|| default_name(&source.name(), &weights.sha256)),
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

    // Where it is read as it will be.
    let ready = ModelsDirectory::at(workspace.path());
    workspace.put(&content, &ready.added_at(&manifest.name))?;
    let spec = ready.find(&manifest.name)?;
    if let Some(there) = check_name(models, spec.name)?
        && !there.embeds_as(spec)
    {
        return Err(AddError::Taken(manifest.name));
    }
    progress("embedding a text with it");
    check_vector(&ready, spec, arithmetic, &source)?;
    workspace.put(&ready.of(spec), &models.of(spec))?;
    Ok(spec)
}

/// The model that was added by this name, if there is one.
fn check_name(models: &ModelsDirectory, name: &str) -> Result<Option<&'static ModelSpec>, AddError> {
    if !models::is_name(name) {
        return Err(AddError::Name(name.to_owned()));
    }
    match models.find(name) {
        Ok(spec) if spec.package.is_some() => Err(AddError::Taken(name.to_owned())),
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

/// Copies a file of the network; none where the source has none.
fn keep(source: &Source, layout: &Layout, name: &str, content: &Path) -> Result<Option<FileEntry>, AddError> {
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

fn lacks(source: &Source, layout: &Layout, name: &str) -> AddError {
    let advice =
        "save_pretrained of a recent sentence-transformers writes config.json, tokenizer.json and model.safetensors";
    AddError::Lacks { origin: source.origin(), file: layout.file(name), advice }
}

/// Loads the model and embeds a text: what comes must be a vector of length 1.
fn check_vector(
    models: &ModelsDirectory,
    spec: &'static ModelSpec,
    arithmetic: Arithmetic,
    source: &Source,
) -> Result<(), AddError> {
    let embedded = EmbeddingModel::load(models, spec, arithmetic, NonZeroUsize::MIN);
    let embedded =
        embedded.and_then(|model| model.embed_batch(&[&spec.prompts.before(jangbogo_embedding::Purpose::Query, TEXT)]));
    let embedded = embedded.map_err(|error| AddError::Model { origin: source.origin(), source: error })?;
    let components = embedded.vectors.iter().flatten();
    let length = components.map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    // What is no number is near none either.
    if (length - 1.0).abs() < LENGTH_TOLERANCE {
        return Ok(());
    }
    Err(AddError::Vector { origin: source.origin(), length })
}
