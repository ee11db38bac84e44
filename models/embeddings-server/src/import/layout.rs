//! Reads the configuration files of sentence-transformers, and rejects unsupported models.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ImportError;
use super::source::Source;

/// List of the modules that a text passes.
const MODULES: &str = "modules.json";
/// Folder of the pooling configuration in a model without [`MODULES`].
const POOLING: &str = "1_Pooling";
const SENTENCES: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const CHOOSE_ANOTHER: &str = "choose a model of BERT and mean pooling, with nothing after it but normalisation";

/// Configuration of a model beside its network.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder of the network's files, within the source.
    network: String,
    /// Maximum tokens of a text.
    pub(super) max_tokens: Option<NonZeroUsize>,
    pub(super) query_prompt: Option<String>,
    pub(super) passage_prompt: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    /// Qualified name of the Python class.
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

#[derive(Default, Deserialize)]
struct Sentences {
    max_seq_length: Option<NonZeroUsize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
struct Prompting {
    prompts: Option<BTreeMap<String, String>>,
}

impl Layout {
    /// Reads the files that exist: a folder of only the network's files is a model with mean pooling. Normalisation
    /// makes no difference: vectors are always normalised here, and compared by cosine.
    pub(super) fn read(source: &Source) -> Result<Self, ImportError> {
        let (mut network, mut pooling) = (String::new(), None);
        let modules: Option<Vec<Module>> = source.json(MODULES)?;
        let unsupported =
            |file: &str, why: String, advice| ImportError::Unsupported { file: source.location(file), why, advice };
        for Module { kind, path } in modules.iter().flatten() {
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => network.clone_from(path),
                "Pooling" => pooling = Some(path.as_str()),
                "Normalize" => {}
                _ => {
                    return Err(unsupported(
                        MODULES,
                        format!("asks for {kind}, which is not supported"),
                        CHOOSE_ANOTHER,
                    ));
                }
            }
        }
        if modules.is_some() && pooling.is_none() {
            return Err(unsupported(MODULES, "asks for no pooling".to_owned(), CHOOSE_ANOTHER));
        }
        let file = within(pooling.unwrap_or(POOLING), "config.json");
        match source.json::<Map<String, Value>>(&file)? {
            Some(config) => check_pooling(&config).map_err(|why| unsupported(&file, why, CHOOSE_ANOTHER))?,
            None if pooling.is_none() => {}
            None => {
                return Err(ImportError::MissingFile {
                    origin: source.origin(),
                    file,
                    advice: "modules.json names it",
                });
            }
        }
        let file = within(&network, SENTENCES);
        let sentences: Sentences = source.json(&file)?.unwrap_or_default();
        if sentences.do_lower_case {
            let advice = "set it to false if tokenizer.json lower-cases itself, or else choose another model";
            return Err(unsupported(&file, "asks for lower-case letters (do_lower_case)".to_owned(), advice));
        }
        let prompting: Prompting = source.json(PROMPTS)?.unwrap_or_default();
        let mut prompts = prompting.prompts.unwrap_or_default();
        Ok(Self {
            network,
            max_tokens: sentences.max_seq_length,
            query_prompt: prompts.remove("query"),
            passage_prompt: prompts.remove("passage").or_else(|| prompts.remove("document")),
        })
    }

    /// Path of a file of the network within the source.
    pub(super) fn file(&self, name: &str) -> String {
        within(&self.network, name)
    }
}

fn within(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// Refuses other pooling than the mean of all rows.
fn check_pooling(config: &Map<String, Value>) -> Result<(), String> {
    // A switch per mode, or in recent versions their names.
    let switches = config.iter().filter(|(_, value)| **value == Value::Bool(true));
    let mut modes: Vec<&str> = switches.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect();
    match config.get("pooling_mode") {
        Some(Value::Array(names)) => modes.extend(names.iter().filter_map(Value::as_str)),
        mode => modes.extend(mode.and_then(Value::as_str)),
    }
    if !matches!(modes[..], ["mean_tokens" | "mean"]) {
        let requested = if modes.is_empty() { "none".to_owned() } else { modes.join(" and ") };
        return Err(format!("asks for the pooling {requested}, not for mean_tokens alone"));
    }
    if config.get("include_prompt") == Some(&Value::Bool(false)) {
        return Err("excludes prompts from the mean (include_prompt)".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const MEAN: &str =
        r#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#;

    fn read(files: &[(&str, &str)]) -> Result<Layout, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
            fs::write(path, content).unwrap();
        }
        Layout::read(&Source::Folder(folder.path().to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn configuration_files_are_read() {
        let modules = r#"[
            {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;
        let prompts = r#"{"prompts": {"query": "query: ", "document": "passage: "}, "default_prompt_name": null}"#;
        let layout = read(&[
            (MODULES, modules),
            ("1_Pooling/config.json", MEAN),
            ("0_Transformer/sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#),
            (PROMPTS, prompts),
        ]);
        let layout = layout.unwrap();
        assert_eq!(layout.file("config.json"), "0_Transformer/config.json");
        assert_eq!(layout.max_tokens, NonZeroUsize::new(256));
        assert_eq!(layout.query_prompt.as_deref(), Some("query: "));
        assert_eq!(layout.passage_prompt.as_deref(), Some("passage: "));

        let bare = read(&[]).unwrap();
        assert_eq!(bare.file("config.json"), "config.json");
        assert_eq!((bare.max_tokens, bare.query_prompt, bare.passage_prompt), (None, None, None));
        read(&[("1_Pooling/config.json", r#"{"embedding_dimension": 384, "pooling_mode": "mean"}"#)]).unwrap();
    }

    #[test]
    fn unsupported_models_are_refused() {
        let pooling = |config: &str| read(&[("1_Pooling/config.json", config)]).unwrap_err();
        for (config, why) in [
            (
                r#"{"pooling_mode_cls_token": true}"#,
                "asks for the pooling cls_token, not for mean_tokens alone; choose",
            ),
            (r#"{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}"#, "max_tokens and mean_tokens"),
            (r#"{"pooling_mode": ["mean", "max"]}"#, "mean and max"),
            ("{}", "the pooling none"),
            (r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#, "excludes prompts from the mean"),
            ("cls", "is invalid JSON"),
        ] {
            let message = pooling(config);
            assert!(message.contains(why) && message.contains("/1_Pooling/config.json"), "{message}");
        }

        let module =
            |kind: &str| format!(r#"[{{"path": "1_Pooling", "type": "sentence_transformers.models.{kind}"}}]"#);
        let modules = |kind: &str| read(&[(MODULES, &module(kind))]).unwrap_err();
        assert!(modules("Dense").contains("asks for sentence_transformers.models.Dense, which is not supported"));
        assert!(modules("Transformer").contains("modules.json asks for no pooling"), "{}", modules("Transformer"));
        assert!(modules("Pooling").contains("has no 1_Pooling/config.json"), "{}", modules("Pooling"));
        let lower = read(&[(SENTENCES, r#"{"do_lower_case": true}"#)]).unwrap_err();
        assert!(lower.contains("do_lower_case"), "{lower}");
    }
}
