//! Imports of a tiny network: one layer and a few words.

mod hub;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use jangbogo_embedding::text::Prompts;
use serde_json::json;
use tempfile::TempDir;

use super::*;

const INNER: usize = 64;
const WORDS: [&str; 7] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "bag"];

fn config() -> serde_json::Value {
    json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": DIMENSIONS, "intermediate_size": INNER,
        "layer_norm_eps": 1e-12, "max_position_embeddings": 16, "num_attention_heads": 12, "num_hidden_layers": 1,
        "type_vocab_size": 2, "vocab_size": WORDS.len(),
    })
}

fn tokenizer() -> serde_json::Value {
    let vocabulary: HashMap<&str, usize> = WORDS.iter().enumerate().map(|(id, word)| (*word, id)).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "decoder": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    })
}

/// Scaled weights, each different.
fn weights(scale: f64, kind: DType) -> HashMap<String, Tensor> {
    let (size, inner) = (DIMENSIONS, INNER);
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![WORDS.len(), size]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![16, size]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, size]),
    ];
    let mut part = |name: &str, outputs: usize, inputs: Option<usize>| {
        shapes.push((format!("{name}.weight"), [outputs].into_iter().chain(inputs).collect()));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    part("embeddings.LayerNorm", size, None);
    for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        part(&format!("encoder.layer.0.{name}"), size, Some(size));
    }
    part("encoder.layer.0.attention.output.LayerNorm", size, None);
    part("encoder.layer.0.intermediate.dense", inner, Some(size));
    part("encoder.layer.0.output.dense", size, Some(inner));
    part("encoder.layer.0.output.LayerNorm", size, None);
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let numbers = Tensor::arange(0_u32, u32::try_from(shape.iter().product::<usize>()).unwrap(), &Device::Cpu);
        let numbers = numbers.unwrap().to_dtype(DType::F32).unwrap().sin().unwrap();
        let scaled = numbers.affine(scale, 0.01).unwrap().reshape(shape).unwrap();
        (name, scaled.to_dtype(kind).unwrap())
    };
    shapes.into_iter().map(tensor).collect()
}

/// A folder in the layout of sentence-transformers.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        (CONFIG, config()),
        (TOKENIZER, tokenizer()),
        ("sentence_bert_config.json", json!({ "max_seq_length": 8 })),
        ("config_sentence_transformers.json", json!({ "prompts": { "query": "a ", "document": "red " } })),
        (
            "modules.json",
            json!([{ "path": "", "type": "x.Transformer" }, { "path": "1_Pooling", "type": "x.Pooling" }]),
        ),
        ("1_Pooling/config.json", json!({ "pooling_mode_mean_tokens": true })),
    ] {
        write(&folder, name, &content);
    }
    // 16 bits, as many models have.
    candle_core::safetensors::save(&weights(0.1, DType::F16), folder.path().join(WEIGHTS)).unwrap();
    folder
}

fn write(folder: &TempDir, name: &str, content: &serde_json::Value) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content.to_string()).unwrap();
}

fn addition(source: &Path) -> Import {
    Import {
        source: source.display().to_string(),
        name: None,
        query_prompt: None,
        passage_prompt: None,
        similarity_threshold: 0.5,
        licence: "MIT".to_owned(),
        arithmetic: Arithmetic::Int8,
    }
}

fn no_hub() -> HubArgs {
    HubArgs { endpoint: "http://127.0.0.1:1".to_owned(), token: None }
}

fn add_to(models: &ModelsDirectory, addition: Import) -> Result<&'static ModelSpec, ImportError> {
    import_model(models, addition, &no_hub(), |_| {})
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A change of a folder.
type Change = Box<dyn Fn(&TempDir)>;

/// An error with its causes.
fn message(error: &ImportError) -> String {
    jangbogo_telemetry::causes(error).to_string()
}

#[test]
fn a_folder_is_imported() {
    let (source, directory) = (folder(), tempfile::tempdir().unwrap());
    let models = ModelsDirectory::at(directory.path());
    let spec = add_to(&models, addition(source.path())).unwrap();

    let stem = source.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    let digits = &models::sha256(&source.path().join(WEIGHTS)).unwrap()[..8];
    assert_eq!(spec.name, format!("{stem}-{digits}"));
    assert_eq!(spec.prompts, Prompts { query: "a ", passage: "red " });
    assert_eq!((spec.max_tokens.get(), spec.similarity_threshold, spec.licence), (8, 0.5, "MIT"));
    assert_eq!(spec.origin, source.path().canonicalize().unwrap().display().to_string());
    assert_eq!(names(&models.path_of(spec)), [CONFIG, "model.json", WEIGHTS, TOKENIZER]);
    assert_eq!(names(models.path()), [".lock", "added"]);
    models.verify(spec).unwrap();

    let found = models.find(spec.name).unwrap();
    let load = || EmbeddingModel::load(&models, found, Arithmetic::F32, NonZeroUsize::MIN);
    let vectors = load().unwrap().embed_batch(&["red bag", "a"]).unwrap().vectors;
    assert!(vectors[0].len() == DIMENSIONS && vectors[0] != vectors[1]);

    let damaged = models.path_of(spec).join(CONFIG);
    fs::write(&damaged, "{}").unwrap();
    let refused = load().unwrap_err().to_string();
    assert!(refused.contains("config.json is damaged") && refused.contains("`jangbogo models add` again"), "{refused}");
    assert!(crate::fetch::fetch(&models, spec, |_| {}).is_err());
    add_to(&models, addition(source.path())).unwrap();
    models.verify(spec).unwrap();
}

#[test]
fn a_name_stands_for_one_model() {
    let (source, directory) = (folder(), tempfile::tempdir().unwrap());
    let models = ModelsDirectory::at(directory.path());
    let named = |name: &str| Import { name: Some(name.to_owned()), ..addition(source.path()) };
    for name in ["", "../up", "a b"] {
        assert!(matches!(add_to(&models, named(name)), Err(ImportError::Name(_))), "{name}");
    }
    assert!(matches!(add_to(&models, named(models::DEFAULT_MODEL)), Err(ImportError::Taken(_))));
    let spec = add_to(&models, named("shop")).unwrap();
    assert_eq!(spec.name, "shop");

    // The similarity threshold changes no vector.
    let nearer = add_to(&models, Import { similarity_threshold: 0.9, ..named("shop") }).unwrap();
    assert!(
        nearer.similarity_threshold > spec.similarity_threshold && std::ptr::eq(models.find("shop").unwrap(), nearer)
    );
    let prompted = add_to(&models, Import { query_prompt: Some(String::new()), ..named("shop") });
    assert!(matches!(prompted, Err(ImportError::Taken(_))), "{prompted:?}");
    candle_core::safetensors::save(&weights(0.2, DType::F32), source.path().join(WEIGHTS)).unwrap();
    let trained = add_to(&models, named("shop"));
    assert!(matches!(trained, Err(ImportError::Taken(_))), "{trained:?}");
    assert!(std::ptr::eq(models.find("shop").unwrap(), nearer));
    models.verify(nearer).unwrap();
}

#[test]
fn unsupported_models_are_refused_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let models = ModelsDirectory::at(directory.path());
    let with = |key: &str, value: serde_json::Value| {
        let mut config = config();
        config[key] = value;
        move |folder: &TempDir| write(folder, CONFIG, &config)
    };
    let without = |name: &'static str| move |folder: &TempDir| fs::remove_file(folder.path().join(name)).unwrap();
    let weighing = |weights: HashMap<String, Tensor>| {
        move |folder: &TempDir| candle_core::safetensors::save(&weights, folder.path().join(WEIGHTS)).unwrap()
    };
    let mut missing = weights(0.1, DType::F32);
    missing.remove("encoder.layer.0.output.dense.bias").unwrap();
    let spoil = |name: &'static str| move |folder: &TempDir| fs::write(folder.path().join(name), "<html>").unwrap();
    let cases: [(Change, &str); 12] = [
        (Box::new(with("model_type", json!("distilbert"))), "asks for a network of type distilbert"),
        (Box::new(with("hidden_act", json!("gelu_new"))), "asks for BERT with gelu_new and absolute positions"),
        (Box::new(with("position_embedding_type", json!("relative_key"))), "relative_key positions"),
        (Box::new(with("hidden_size", json!(768))), "its vectors have 768 components, expected 384"),
        (Box::new(with("num_attention_heads", json!(0))), "config.json is invalid"),
        (Box::new(with("num_attention_heads", json!(3))), "choose --embedding-arithmetic f32"),
        (Box::new(without(TOKENIZER)), "has no tokenizer.json; save_pretrained of"),
        (Box::new(without(WEIGHTS)), "has no model.safetensors; save_pretrained of"),
        (Box::new(spoil(TOKENIZER)), "the tokenizer failed"),
        (Box::new(spoil(WEIGHTS)), "cannot be used; choose another"),
        (Box::new(weighing(missing)), "encoder.layer.0.output.dense.bias is missing"),
        (Box::new(weighing(weights(f64::NAN, DType::F32))), "a vector of length NaN"),
    ];
    for (change, why) in cases {
        let source = folder();
        change(&source);
        let message = message(&add_to(&models, addition(source.path())).unwrap_err());
        assert!(message.contains(why) && message.contains(&*source.path().to_string_lossy()), "{why}: {message}");
        assert!(names(models.path()).iter().all(|name| name == ".lock"), "{why}: {:?}", names(models.path()));
    }
    let nowhere = message(&add_to(&models, addition(Path::new("./no-such-folder"))).unwrap_err());
    assert!(nowhere.starts_with("./no-such-folder is neither a folder nor a repository"), "{nowhere}");
}
