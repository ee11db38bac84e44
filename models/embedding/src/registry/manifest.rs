//! Manifests of models that users added.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::{FileErrors as _, ModelsError};
use super::{CONFIG, ModelFile, ModelSpec, PACKED_WEIGHTS, TOKENIZER, WEIGHTS};
use crate::text::Prompts;

/// File name of a manifest.
const MANIFEST: &str = "model.json";
/// Maximum length of a name. Events allow 128 characters, and a Kafka consumer group contains it.
const MAX_NAME_LENGTH: usize = 100;

/// The fields of [`ModelSpec`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub dimensions: usize,
    pub max_tokens: NonZeroUsize,
    pub query_prompt: String,
    pub passage_prompt: String,
    #[serde(rename = "near")]
    pub similarity_threshold: f32,
    pub origin: String,
    pub licence: String,
    pub files: Vec<FileEntry>,
}

/// The fields of [`ModelFile`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// Specs by the text of their manifests. They are leaked: a process reads only a few.
static READ: Mutex<BTreeMap<String, &'static ModelSpec>> = Mutex::new(BTreeMap::new());

impl Manifest {
    /// Reads the manifest in the directory of a model; none if there is none.
    pub(super) fn read(name: &str, directory: &Path) -> Result<Option<&'static ModelSpec>, ModelsError> {
        let path = directory.join(MANIFEST);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).or_file_error("read", &path)?;
        let invalid = |why: String| ModelsError::Manifest { path: path.clone(), why };
        let spec = Self::parse(text).map_err(invalid)?;
        if spec.name != name {
            return Err(invalid(format!("it names the model {}", spec.name)));
        }
        Ok(Some(spec))
    }

    fn parse(text: String) -> Result<&'static ModelSpec, String> {
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spec) = read.get(&text) {
            return Ok(spec);
        }
        let manifest: Self = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let spec: &'static ModelSpec = Box::leak(Box::new(manifest.spec()?));
        read.insert(text, spec);
        Ok(spec)
    }

    /// Writes the manifest into a directory.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), ModelsError> {
        let path = directory.join(MANIFEST);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| ModelsError::Manifest { path: path.clone(), why: error.to_string() })?;
        fs::write(&path, text + "\n").or_file_error("write", &path)
    }

    fn spec(self) -> Result<ModelSpec, String> {
        let file = |FileEntry { name, bytes, sha256 }| {
            // No other name, for it becomes part of a path.
            let allowed = [WEIGHTS, PACKED_WEIGHTS, TOKENIZER, CONFIG].into_iter().find(|allowed| *allowed == name);
            let name = allowed.ok_or_else(|| format!("no model has a file {name}"))?;
            Ok(ModelFile { name, bytes, sha256: sha256.leak() })
        };
        let files: Vec<ModelFile> = self.files.into_iter().map(file).collect::<Result<_, String>>()?;
        Ok(ModelSpec {
            name: self.name.leak(),
            dimensions: self.dimensions,
            max_tokens: self.max_tokens,
            prompts: Prompts { query: self.query_prompt.leak(), passage: self.passage_prompt.leak() },
            similarity_threshold: self.similarity_threshold,
            quality: None,
            origin: self.origin.leak(),
            licence: self.licence.leak(),
            package: None,
            files: files.leak(),
        })
    }
}

/// True if a name is valid: 1 to [`MAX_NAME_LENGTH`] ASCII letters, digits, `-`, `_` and `.`, beginning with a letter
/// or digit. Such a name is valid as a directory, and in a Kafka consumer group.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_LENGTH
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(is_of_name)
}

/// True if a name may contain this character.
#[must_use]
pub fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{DEFAULT_MODEL, ModelsDirectory};

    fn manifest() -> Manifest {
        let file = |name: &str| FileEntry { name: name.to_owned(), bytes: 3, sha256: "ba7816bf".repeat(8) };
        Manifest {
            name: "shop-1".to_owned(),
            dimensions: 384,
            max_tokens: NonZeroUsize::MIN,
            query_prompt: "ask \"this\":\n".to_owned(),
            passage_prompt: String::new(),
            similarity_threshold: 0.7,
            origin: "/srv/shop".to_owned(),
            licence: "unknown".to_owned(),
            files: [WEIGHTS, TOKENIZER, CONFIG].map(file).into(),
        }
    }

    fn keep(manifest: &Manifest, models: &ModelsDirectory, folder: &str) {
        let directory = models.added_at(folder);
        fs::create_dir_all(&directory).unwrap();
        manifest.write(&directory).unwrap();
    }

    #[test]
    fn an_added_model_is_found_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let models = ModelsDirectory::at(directory.path());
        keep(&manifest(), &models, "shop-1");
        // A directory without a manifest is not a model.
        fs::create_dir_all(models.added_at("notes")).unwrap();
        let spec = models.find("shop-1").unwrap();
        assert_eq!((spec.name, spec.dimensions, spec.similarity_threshold), ("shop-1", 384, 0.7));
        assert_eq!(spec.prompts, Prompts { query: "ask \"this\":\n", passage: "" });
        assert_eq!(spec.weights(), WEIGHTS);
        assert!(std::ptr::eq(spec, models.find("shop-1").unwrap()), "read once");
        assert_eq!(models.path_of(spec), models.added_at("shop-1"));
        let names: Vec<&str> = models.known().unwrap().iter().map(|spec| spec.name).collect();
        assert_eq!(names, [DEFAULT_MODEL, "multilingual-e5-small", "shop-1"]);

        let message = models.find("shop-2").unwrap_err().to_string();
        let known = "all-MiniLM-L6-v2, multilingual-e5-small, shop-1";
        let advice = "`jangbogo models add` adds one of your own";
        assert_eq!(message, format!("no model is called shop-2; known: {known}; {advice}"));
        let missing = models.verify(spec).unwrap_err();
        assert!(matches!(missing, ModelsError::Missing(_)), "{missing}");
    }

    #[test]
    fn a_manifest_that_is_not_the_model_s_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let models = ModelsDirectory::at(directory.path());
        let error = |folder: &str| models.find(folder).unwrap_err().to_string();
        keep(&manifest(), &models, "other");
        assert!(error("other").contains("it names the model shop-1"), "{}", error("other"));
        let mut elsewhere = manifest();
        elsewhere.files[0].name = "../../secret".to_owned();
        keep(&elsewhere, &models, "shop-1");
        assert!(error("shop-1").contains("no model has a file ../../secret"), "{}", error("shop-1"));
        fs::write(models.added_at("shop-1").join(MANIFEST), "{}").unwrap();
        assert!(error("shop-1").contains("missing field `name`"), "{}", error("shop-1"));
        assert!(error("../added/shop-1").starts_with("no model is called"), "{}", error("../added/shop-1"));
    }

    #[test]
    fn names_are_valid_directories() {
        for name in ["a", "all-MiniLM_L6.v2", "7b", &"x".repeat(100)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".hidden", "-x", "a/b", "a b", "한국어", "a\n", &"x".repeat(101)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
