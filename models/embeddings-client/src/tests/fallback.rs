//! The fallback to a local model while the server is unavailable.

use std::sync::atomic::{AtomicUsize, Ordering};

use jangbogo_embedding::LocalModelError;
use jangbogo_embeddings_server::model::ModelError;

use super::*;

/// A loader, and the number of its calls.
fn loading(model: &LetterModel) -> (LoadLocalModel, Arc<AtomicUsize>) {
    let loads: Arc<AtomicUsize> = Arc::default();
    let (counted, model) = (Arc::clone(&loads), model.clone());
    let load: LoadLocalModel = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let model = model.clone();
        Box::pin(async move { Ok(Arc::new(model.encoder(100).await) as Arc<dyn LocalModel>) })
    });
    (load, loads)
}

fn state(embedder: &Embedder) -> String {
    let Backend::Remote { fallback: Some(fallback), .. } = &embedder.backend else { panic!() };
    format!("{fallback:?}")
}

/// Retries until there is a vector.
async fn retry_until_embedded(embedder: &Embedder, text: &str) {
    let retrying = async {
        loop {
            match embedder.embed_query(text).await {
                Ok(vector) => return assert!(is_letter(&vector, text)),
                Err(error) => assert!(error.is_servers_failure(), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, retrying).await.unwrap();
}

#[tokio::test]
async fn the_fallback_gives_vectors_while_the_server_is_unavailable() {
    let server = TestServer::start(letters).await;
    // Warming takes two permits, so that it stays in state `loading`.
    let model = LetterModel { permits: Arc::new(Semaphore::new(0)), ..LetterModel::quick() };
    let (load, loads) = loading(&model);
    let embedder = client(&server.url, &args(), Tuning { load: Some(load), ..tuning() });
    embedder.embed_query("a").await.unwrap();
    assert_eq!((state(&embedder).as_str(), loads.load(Ordering::SeqCst)), ("FallbackModel(\"absent\")", 0));

    server.react(unavailable);
    for text in texts('b', 10) {
        assert!(embedder.embed_query(&text).await.unwrap_err().is_servers_failure(), "it is still loaded");
    }
    assert_eq!(state(&embedder), "FallbackModel(\"loading\")");
    model.permits.add_permits(1000);
    retry_until_embedded(&embedder, "bag").await;
    for vector in embedder.embed_queries(&texts('c', 20)).await {
        assert!(is_letter(&vector.unwrap(), "c"));
    }
    assert_eq!((embedder.vectors_from("in-process"), loads.load(Ordering::SeqCst)), (21, 1), "never more than one");

    server.react(letters);
    let (mut number, remote) = (0, embedder.vectors_from("remote"));
    while embedder.vectors_from("remote") == remote {
        number += 1;
        embedder.embed_query(&format!("d{number}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let in_process = embedder.vectors_from("in-process");
    embedder.embed_query("e").await.unwrap();
    assert_eq!(embedder.vectors_from("in-process"), in_process, "the server is used again");
}

#[tokio::test]
async fn the_model_is_dropped_when_the_server_has_recovered_and_loaded_again_on_need() {
    let server = TestServer::start(unavailable).await;
    let (load, loads) = loading(&LetterModel::quick());
    let keep = Duration::from_millis(100);
    let embedder = client(&server.url, &args(), Tuning { load: Some(load), keep, ..tuning() });
    retry_until_embedded(&embedder, "a").await;
    tokio::time::sleep(3 * keep).await;
    assert_eq!(state(&embedder), "FallbackModel(\"loaded\")", "while the server is unavailable");

    server.react(letters);
    let mut number = 0;
    while embedder.vectors_from("remote") == 0 {
        number += 1;
        embedder.embed_query(&format!("b{number}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until(|| state(&embedder) == "FallbackModel(\"absent\")").await;
    server.react(unavailable);
    retry_until_embedded(&embedder, "c").await;
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_no_fallback() {
    let server = TestServer::start(unavailable).await;
    let loads: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&loads);
    let load: LoadLocalModel = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Err(Arc::new(ModelError::Unsupported("something else".to_owned())) as LocalModelError) })
    });
    let embedder = client(&server.url, &args(), Tuning { load: Some(load), ..tuning() });
    embedder.embed_query("a").await.unwrap_err();
    until(|| state(&embedder) == "FallbackModel(\"failed\")").await;
    for text in texts('b', 10) {
        assert!(embedder.embed_query(&text).await.unwrap_err().is_servers_failure());
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_text_that_the_server_refuses_loads_no_fallback() {
    let server = TestServer::start(|_| StatusCode::BAD_REQUEST.into_response()).await;
    let (load, loads) = loading(&LetterModel::quick());
    let embedder = client(&server.url, &args(), Tuning { load: Some(load), ..tuning() });
    assert!(embedder.embed_query("a").await.unwrap_err().blames_texts());
    assert_eq!(loads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_model_that_is_unknown_or_not_installed_cannot_be_loaded() {
    let directory = tempfile::tempdir().unwrap();
    for model in ["text-embedding-3-small", DEFAULT_MODEL] {
        let arguments = ["test", "--models", directory.path().to_str().unwrap()];
        let load = <Program as clap::Parser>::parse_from(arguments).fallback.loader(encoder_metrics()).unwrap();
        let error = load(model).await.unwrap_err().to_string();
        assert!(error.contains(model), "{error}");
    }
}
