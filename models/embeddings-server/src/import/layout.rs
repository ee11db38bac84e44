//! What the files of sentence-transformers say about a model, and whether that is what is computed here.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::AddError;
use super::source::Source;

/// What is done to a text, one after the other.
const MODULES: &str = "modules.json";
/// Where a model without [`MODULES`] says how the rows of a text's tokens become its vector.
const POOLING: &str = "1_Pooling";
const SENTENCES: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
const CHOOSE_ANOTHER: &str = "choose a model of BERT, mean pooling and nothing after it but normalisation";

/// What there is to know of a model beside its network.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder of the network's files, within the source.
    network: String,
    /// How many tokens of a text it reads.
    pub(super) max_tokens: Option<NonZeroUsize>,
    /// What stands before texts that look for others.
    pub(super) query_prompt: Option<String>,
    /// What stands before texts that are to be found.
    pub(super) passage_prompt: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    /// The class, with the module of Python that it is in.
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
    /// Reads it, as far as it is there: a folder of the network's files alone is a model with mean pooling.
    ///
    /// Whether vectors are normalised makes no difference: they are here, and are compared by their cosines.
    pub(super) fn read(source: &Source) -> Result<Self, AddError> {
        let (mut network, mut pooling) = (String::new(), None);
        let modules: Option<Vec<Module>> = source.json(MODULES)?;
        let refused = |file: &str, why: String, advice| AddError::Refused { file: source.place(file), why, advice };
        for Module { kind, path } in modules.iter().flatten() {
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => network.clone_from(path),
                "Pooling" => pooling = Some(path.as_str()),
                "Normalize" => {}
                _ => return Err(refused(MODULES, format!("asks for {kind}, which is not known here"), CHOOSE_ANOTHER)),
            }
        }
        if modules.is_some() && pooling.is_none() {
            return Err(refused(MODULES, "asks for no pooling".to_owned(), CHOOSE_ANOTHER));
        }
        let file = within(pooling.unwrap_or(POOLING), "config.json");
        match source.json::<Map<String, Value>>(&file)? {
            Some(config) => check_pooling(&config).map_err(|why| refused(&file, why, CHOOSE_ANOTHER))?,
            None if pooling.is_none() => {}
            None => return Err(AddError::Lacks { origin: source.origin(), file, advice: "modules.json names it" }),
        }
        let file = within(&network, SENTENCES);
        let sentences: Sentences = source.json(&file)?.unwrap_or_default();
        if sentences.do_lower_case {
            let advice = "say false there if tokenizer.json does that by itself, else choose another model";
            return Err(refused(&file, "asks for lower-case letters (do_lower_case)".to_owned(), advice));
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

    /// Where a file of the network is, within the source.
    pub(super) fn file(&self, name: &str) -> String {
        within(&self.network, name)
    }
}

fn within(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// Refuses what is not the mean of all rows.
fn check_pooling(config: &Map<String, Value>) -> Result<(), String> {
    // A switch for each mode, or, since lately, their names.
    let switches = config.iter().filter(|(_, value)| **value == Value::Bool(true));
    let mut modes: Vec<&str> = switches.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect();
    match config.get("pooling_mode") {
        Some(Value::Array(names)) => modes.extend(names.iter().filter_map(Value::as_str)),
        mode => modes.extend(mode.and_then(Value::as_str)),
    }
    if !matches!(modes[..], ["mean_tokens" | "mean"]) {
        let asked = if modes.is_empty() { "none".to_owned() } else { modes.join(" and ") };
        return Err(format!("asks for the pooling {asked}, not for mean_tokens alone"));
    }
    if config.get("include_prompt") == Some(&Value::Bool(false)) {
        return Err("leaves prompts out of the mean (include_prompt)".to_owned());
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
    fn what_a_folder_says_is_read() {
        let modules = r#"[{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
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
    fn another_network_than_is_computed_is_refused() {
        let pooling = |config: &str| read(&[("1_Pooling/config.json", config)]).unwrap_err();
        for (config, why) in [
            (
                r#"{"pooling_mode_cls_token": true}"#,
                "asks for the pooling cls_token, not for mean_tokens alone; choose",
            ),
            (r#"{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}"#, "max_tokens and mean_tokens"),
            (r#"{"pooling_mode": ["mean", "max"]}"#, "mean and max"),
            ("{}", "the pooling none"),
            (r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#, "leaves prompts out of the mean"),
            ("cls", "cannot be understood"),
        ] {
            let message = pooling(config);
            assert!(message.contains(why) && message.contains("/1_Pooling/config.json"), "{message}");
        }

        let module =
            |kind: &str| format!(r#"[{{"path": "1_Pooling", "type": "sentence_transformers.models.{kind}"}}]"#);
        let modules = |kind: &str| read(&[(MODULES, &module(kind))]).unwrap_err();
        assert!(modules("Dense").contains("asks for sentence_transformers.models.Dense, which is not known here"));
        assert!(modules("Transformer").contains("modules.json asks for no pooling"), "{}", modules("Transformer"));
        assert!(modules("Pooling").contains("has no 1_Pooling/config.json"), "{}", modules("Pooling"));
        let lower = read(&[(SENTENCES, r#"{"do_lower_case": true}"#)]).unwrap_err();
        assert!(lower.contains("do_lower_case"), "{lower}");
    }
}
