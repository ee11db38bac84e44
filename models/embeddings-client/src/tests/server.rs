//! Answers of servers, and how they are read.

use std::num::NonZeroUsize;

use jangbogo_embedding::registry::{Manifest, ModelsDirectory};
use jangbogo_embeddings_server::service::{ServiceMetrics, router};

use super::*;

/// A client of a server that answers each request by a function.
async fn client_of_answer(answer: impl Fn(Value) -> (StatusCode, Value) + Clone + Send + Sync + 'static) -> Embedder {
    let handler = async move |axum::Json(body): axum::Json<Value>| {
        let (status, answer) = answer(body);
        (status, axum::Json(answer))
    };
    let url = served(Router::new().route("/v1/embeddings", post(handler))).await;
    let remote = RemoteArgs { attempts: 1, max_in_flight: 1, ..args().remote };
    client(&url, &EmbedderArgs { remote, ..args() }, tuning())
}

#[tokio::test]
async fn the_embedders_service_gives_the_same_vectors_as_the_local_model() {
    let prompts = Prompts { query: "query: ", passage: "passage: " };
    let model = LetterModel { prompts, ..LetterModel::quick() };
    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let encoder = model.encoder(10).await;
    let url = served(router(vec![encoder.clone()], ServiceArgs { cache: 10, request_timeout: 5 }, metrics)).await;
    let in_process = Embedder::for_local_model(Arc::new(encoder), 100, LONG, embedder_metrics());
    let remote = client_of(&url, "letters", &args(), tuning());
    // The model is not in the client's registry, so that the service adds the prompt.
    assert_eq!(remote.embed_query("bag").await.unwrap(), in_process.embed_query("bag").await.unwrap());
    assert_eq!((remote.model(), remote.vectors_from("remote")), ("letters", 1));
}

#[tokio::test]
async fn a_model_that_was_added_to_the_registry_has_its_prompts() {
    let directory = tempfile::tempdir().unwrap();
    let added = ModelsDirectory::at(directory.path()).added_at("shop");
    let manifest = Manifest {
        name: "shop".to_owned(),
        dimensions: DIMENSIONS,
        max_tokens: NonZeroUsize::MIN,
        query_prompt: "a ".to_owned(),
        passage_prompt: String::new(),
        similarity_threshold: 0.7,
        origin: String::new(),
        licence: String::new(),
        files: Vec::new(),
    };
    std::fs::create_dir_all(&added).unwrap();
    manifest.write(&added).unwrap();
    let models = ModelsArgs { models: Some(directory.path().to_owned()) };
    let args = args();

    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let prompts = Prompts { query: "a ", passage: "" };
    let encoder = LetterModel { name: "shop", prompts, ..LetterModel::quick() }.encoder(10).await;
    let url = served(router(vec![encoder], ServiceArgs { cache: 10, request_timeout: 5 }, metrics)).await;
    let wire = jangbogo_openai::Server::new(&url, args.remote.api_key.as_ref()).unwrap();
    let remote = Embedder::with_tuning(wire, "shop", &args, &models, tuning(), embedder_metrics());
    assert!(is_letter(&remote.embed(Purpose::Query, "bag").await.unwrap(), "a"));
    assert!(is_letter(&remote.embed(Purpose::Passage, "bag").await.unwrap(), "b"));
    assert_eq!(remote.similarity_threshold(), Some(0.7));
    // The longest text that is taken is not too long with a prompt.
    let longest = "b".repeat(MAX_TEXT_BYTES);
    assert!(is_letter(&remote.embed(Purpose::Query, &longest).await.unwrap(), "a"));
}

#[tokio::test]
async fn requests_are_openai_s_and_answers_may_be_floats() {
    let embedder = client_of_answer(|body| {
        assert_eq!(body, json!({"input": ["bag"], "model": DEFAULT_MODEL, "encoding_format": "base64"}));
        let mut vector = vec![0.0; DIMENSIONS];
        (vector[0], vector[1]) = (3.0, 4.0);
        (StatusCode::OK, json!({"data": [{"embedding": vector}]}))
    })
    .await;
    assert_eq!(embedder.embed_query("bag").await.unwrap()[..3], [0.6, 0.8, 0.0]);
}

#[tokio::test]
async fn vectors_are_assigned_by_their_index() {
    let embedder = client_of_answer(|body| {
        let count = body["input"].as_array().unwrap().len();
        let datum = |index: usize| {
            let mut vector = vec![0.0; DIMENSIONS];
            vector[letter(body["input"][index].as_str().unwrap())] = 1.0;
            json!({ "index": index, "embedding": vector })
        };
        (StatusCode::OK, json!({ "data": (0..count).rev().map(datum).collect::<Vec<_>>() }))
    })
    .await;
    for (text, vector) in ["a", "b", "c", "d", "e", "f", "g"]
        .iter()
        .zip(embedder.embed_queries(&["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned)).await)
    {
        assert!(is_letter(&vector.unwrap(), text));
    }
}

#[tokio::test]
async fn an_invalid_answer_is_an_error_that_names_the_fault() {
    for (status, answer, expected) in [
        (200, json!({"data": [{"embedding": [1.0, 2.0]}]}), "has 2 components, not 384"),
        (200, json!({"data": [{"embedding": vec![0.0; DIMENSIONS]}]}), "has the length 0"),
        (200, json!({"data": [{"embedding": "AAAA"}]}), "holds a part of a component"),
        (200, json!({"data": [{"embedding": "?"}]}), "is no base64"),
        (200, json!({"data": []}), "holds 0 vectors, not 1"),
        (200, json!({"data": [{"index": 1, "embedding": [1.0]}]}), "its index 1 is of no text"),
        (200, json!("hello"), "is not of OpenAI's form"),
        (401, json!({"error": {"message": "who are you?"}}), "answered with status 401: who are you?"),
        (503, json!("later"), "answered with status 503: \"later\""),
    ] {
        let embedder = client_of_answer(move |_| (StatusCode::from_u16(status).unwrap(), answer.clone())).await;
        let error = embedder.embed_query("bag").await.unwrap_err();
        let message = jangbogo_telemetry::causes(&error).to_string();
        assert!(message.contains(expected), "{message} lacks {expected}");
        assert_eq!(embedder.failures("server"), 1);
    }
}

#[tokio::test]
async fn an_unreachable_server_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let embedder = client(&url, &args(), tuning());
    let error = embedder.embed_query("bag").await.unwrap_err();
    assert!(matches!(&error, EmbedError::Server(error) if error.blames_server()), "{error:?}");
    assert_eq!(embedder.embed_query("bag").await.unwrap_err().to_string(), EmbedError::Unavailable.to_string());
}
