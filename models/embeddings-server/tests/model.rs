//! The built-in models with their real weights. The first run downloads them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jangbogo_embedding::DIMENSIONS;
use jangbogo_embedding::registry::{DEFAULT_MODEL, MODELS, ModelSpec, ModelsDirectory};
use jangbogo_embeddings_server::import::{HubArgs, Import, import_model};
use jangbogo_embeddings_server::model::{Arithmetic, EmbeddingModel, TextModel as _, Tokens};
use serde::Deserialize;

static MODEL: LazyLock<EmbeddingModel> = LazyLock::new(|| {
    load(ModelsDirectory::from_environment().unwrap().find(DEFAULT_MODEL).unwrap(), Arithmetic::Int8, 1)
});

fn load(spec: &'static ModelSpec, arithmetic: Arithmetic, threads: usize) -> EmbeddingModel {
    let models = ModelsDirectory::from_environment().unwrap();
    jangbogo_embeddings_server::fetch::fetch(&models, spec, |message| eprintln!("{message}")).unwrap();
    EmbeddingModel::load(&models, spec, arithmetic, NonZeroUsize::new(threads).unwrap()).unwrap()
}

/// A text and its reference by `golden/reference.py`.
#[derive(Deserialize)]
struct Golden {
    text: String,
    tokens: usize,
    truncated: bool,
    vector: String,
}

fn golden(model: &str) -> Vec<Golden> {
    let path = format!("{}/tests/golden/{model}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let product = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|component| component.to_bits()).collect()
}

/// Cosines between the golden texts' vectors and those computed in double precision.
fn cosines(spec: &'static ModelSpec, arithmetic: Arithmetic) -> Vec<f64> {
    let model = load(spec, arithmetic, 1);
    let cosine = |golden: Golden| {
        let tokens = model.tokenizer().tokenise(&golden.text).unwrap();
        assert_eq!((tokens.len(), tokens.truncated), (golden.tokens, golden.truncated), "{:.60}", golden.text);
        let vector = model.embed(&[&tokens]).unwrap().remove(0);
        let bytes = STANDARD.decode(golden.vector).unwrap();
        let expected: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!((vector.len(), expected.len()), (DIMENSIONS, DIMENSIONS));
        let length = vector.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
        cosine(&vector, &expected)
    };
    golden(spec.name).into_iter().map(cosine).collect()
}

#[test]
fn vectors_are_those_of_the_original_weights() {
    for spec in MODELS {
        let exact = cosines(spec, Arithmetic::F32);
        assert!(exact.iter().all(|cosine| *cosine > 0.999_999), "{}: {exact:?}", spec.name);
        let quick = cosines(spec, Arithmetic::Int8);
        let mean = quick.iter().sum::<f64>() / f64::from(u8::try_from(quick.len()).unwrap());
        assert!(mean > 0.995 && quick.iter().all(|cosine| *cosine > 0.98), "{}: {mean} {quick:?}", spec.name);
    }
}

#[cfg(feature = "cuda")]
#[test]
fn on_a_gpu_vectors_are_those_of_the_original_weights() {
    for spec in MODELS {
        let cosines = cosines(spec, Arithmetic::Cuda);
        assert!(cosines.iter().all(|cosine| *cosine > 0.999_9), "{}: {cosines:?}", spec.name);
    }
}

#[test]
fn a_text_gives_the_same_bytes_in_any_batch() {
    for arithmetic in [Arithmetic::Int8, Arithmetic::F32] {
        gives_the_same_bytes_in_any_batch(arithmetic);
    }
}

#[cfg(feature = "cuda")]
#[test]
fn on_a_gpu_a_text_gives_the_same_bytes_in_any_batch() {
    gives_the_same_bytes_in_any_batch(Arithmetic::Cuda);
}

fn gives_the_same_bytes_in_any_batch(arithmetic: Arithmetic) {
    let golden = golden(DEFAULT_MODEL);
    let mut texts: Vec<&str> = golden.iter().map(|golden| golden.text.as_str()).collect();
    let catalogue = [
        "JUMBO BAG RED RETROSPOT",
        "PARTY BUNTING",
        "LUNCH BAG RED RETROSPOT",
        "ASSORTED COLOUR BIRD ORNAMENT",
        "PACK OF 72 RETROSPOT CAKE CASES",
        "LUNCH BAG  BLACK SKULL.",
        "SET OF 3 CAKE TINS PANTRY DESIGN",
        "BAG",
        "빨간 도시락 가방",
        "RED",
        "HEART OF WICKER SMALL",
        "JAM MAKING SET WITH JARS",
    ];
    texts.extend(catalogue);
    let one_thread = load(MODEL.spec(), arithmetic, 1);
    let alone: Vec<Vec<u32>> =
        texts.iter().map(|text| bits(&one_thread.embed_batch(&[text]).unwrap().vectors[0])).collect();

    let two_threads = load(MODEL.spec(), arithmetic, 2);
    for round in 0..texts.len() {
        // With other texts before and after, in batches of other sizes.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.rotate_left(round);
        order.truncate(texts.len() - round / 2);
        let batch: Vec<&str> = order.iter().map(|position| texts[*position]).collect();
        let model = if round % 2 == 0 { &one_thread } else { &two_threads };
        let together = model.embed_batch(&batch).unwrap();
        for (position, vector) in order.into_iter().zip(together.vectors) {
            assert_eq!(bits(&vector), alone[position], "{:.60} in round {round}", texts[position]);
        }
    }
    // As in the service: one batch, split among threads.
    let tokens: Vec<Tokens> = texts.iter().map(|text| two_threads.tokenizer().tokenise(text).unwrap()).collect();
    let vectors = two_threads.embed(&tokens.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(vectors.iter().map(|vector| bits(vector)).collect::<Vec<_>>(), alone);
    let same = vec!["red lunch bag"; 200];
    for vector in one_thread.embed_batch(&same).unwrap().vectors {
        assert_eq!(bits(&vector), alone[0]);
    }
}

#[test]
fn similar_texts_have_similar_vectors() {
    let texts = ["a bag for a child's lunch", "LUNCH BAG RED RETROSPOT", "GARDEN METAL SIGN", ""];
    let embedded = MODEL.embed_batch(&texts).unwrap();
    let [query, bag, sign, empty] = &embedded.vectors[..] else {
        panic!("four vectors");
    };
    assert!(cosine(query, bag) > cosine(query, sign) + 0.2, "{} {}", cosine(query, bag), cosine(query, sign));
    assert!((cosine(empty, empty) - 1.0).abs() < 1e-6);
    assert_eq!(embedded.truncated, 0);
    assert_eq!(MODEL.embed_batch(&[]).unwrap().vectors.len(), 0);
}

#[test]
fn an_imported_copy_gives_the_same_bytes() {
    let (folder, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (text, spec) = ("red lunch bag", MODEL.spec());
    let fetched = ModelsDirectory::from_environment().unwrap().path_of(spec);
    for file in spec.files {
        std::os::unix::fs::symlink(fetched.join(file.name), folder.path().join(file.name)).unwrap();
    }
    let addition = Import {
        source: folder.path().display().to_string(),
        name: Some("copy".to_owned()),
        query_prompt: None,
        passage_prompt: None,
        similarity_threshold: 0.4,
        licence: spec.licence.to_owned(),
        arithmetic: Arithmetic::Int8,
    };
    let (models, hub) = (ModelsDirectory::at(directory.path()), HubArgs { endpoint: String::new(), token: None });
    import_model(&models, addition, &hub, |message| eprintln!("{message}")).unwrap();
    let copy = models.find("copy").unwrap();
    assert_eq!(copy.max_tokens.get(), 512, "config.json's, where sentence_bert_config.json is not there");
    let copy = EmbeddingModel::load(&models, copy, Arithmetic::Int8, NonZeroUsize::MIN).unwrap();
    let vector = |model: &EmbeddingModel| bits(&model.embed_batch(&[text]).unwrap().vectors[0]);
    assert_eq!(vector(&copy), vector(&MODEL));
}

#[test]
fn truncated_texts_are_counted() {
    let long = "bag ".repeat(300);
    let embedded = MODEL.embed_batch(&["bag", &long]).unwrap();
    assert_eq!((embedded.truncated, embedded.tokens), (1, 3 + 256));
}

/// Without a GPU the arithmetic fails, and does not fall back to the CPU.
#[cfg(not(feature = "cuda"))]
#[test]
fn without_a_gpu_the_error_names_the_build_that_uses_one() {
    let models = ModelsDirectory::from_environment().unwrap();
    let spec = models.find(DEFAULT_MODEL).unwrap();
    jangbogo_embeddings_server::fetch::fetch(&models, spec, |message| eprintln!("{message}")).unwrap();
    let error = EmbeddingModel::load(&models, spec, Arithmetic::Cuda, NonZeroUsize::MIN).err().unwrap().to_string();
    assert!(error.contains("no GPU can be used") && error.contains("--features cuda"), "{error}");
}
