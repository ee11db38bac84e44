//! Clients of a local model, of the embedder's service, and of failing servers. Servers answer over sockets and models
//! compute on threads, and paused time would run ahead of them: waits are real.

mod fallback;
mod remote;
mod server;

use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures::future::join_all;
use jangbogo_embedding::DIMENSIONS;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelsArgs};
use jangbogo_embeddings_server::encoder::{EncoderMetrics, Fallback, FallbackArgs};
use jangbogo_embeddings_server::service::ServiceArgs;
use jangbogo_embeddings_server::testing::LetterModel;
use jangbogo_openai::ApiKey;
use jangbogo_telemetry::Metrics;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);

/// Settings with a time limit that no test reaches.
fn args() -> EmbedderArgs {
    EmbedderArgs {
        url: String::new(),
        timeout_ms: 30_000.try_into().unwrap(),
        cache: 1000,
        remote: RemoteArgs { api_key: Some(ApiKey::from("geheim")), ..RemoteArgs::default() },
    }
}

/// The settings of a program that has all of them.
#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    fallback: FallbackArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

fn embedder_metrics() -> EmbedderMetrics {
    EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap()
}

fn encoder_metrics() -> EncoderMetrics {
    EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap()
}

/// Short pauses, and neither fallback nor Redis.
fn tuning() -> Tuning {
    let pause = Duration::from_millis(50);
    Tuning {
        thresholds: Thresholds { min_pause: pause, max_pause: pause, ..circuit::THRESHOLDS },
        pauses: (Duration::from_millis(1), Duration::from_millis(5)),
        load: None,
        keep: LONG,
        shared: None,
    }
}

fn client(url: &str, args: &EmbedderArgs, tuning: Tuning) -> Embedder {
    client_of(url, DEFAULT_MODEL, args, tuning)
}

fn client_of(url: &str, model: &str, args: &EmbedderArgs, tuning: Tuning) -> Embedder {
    let wire = jangbogo_openai::Server::new(url, args.remote.api_key.as_ref()).unwrap();
    Embedder::with_tuning(wire, model, args, &ModelsArgs::default(), tuning, embedder_metrics())
}

async fn client_of_local_model(model: &LetterModel, time_limit: Duration) -> Embedder {
    Embedder::for_local_model(Arc::new(model.encoder(10).await), 100, time_limit, embedder_metrics())
}

impl Embedder {
    async fn embed_query(&self, text: &str) -> Result<Vector, EmbedError> {
        self.embed(Purpose::Query, text).await
    }

    async fn embed_queries(&self, texts: &[String]) -> Vec<Result<Vector, EmbedError>> {
        join_all(texts.iter().map(|text| self.embed_query(text))).await
    }

    fn vectors_from(&self, source: &str) -> u64 {
        self.metrics.embedder_vectors_total.with_label_values(&[source]).get()
    }

    fn failures(&self, reason: &str) -> u64 {
        self.metrics.embedder_failures_total.with_label_values(&[reason]).get()
    }
}

async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A server's answer to a request by its texts.
type React = fn(&[String]) -> Response;

/// A server that records its requests. Each request takes a permit.
#[derive(Clone)]
struct TestServer {
    url: String,
    requests: Arc<Mutex<Vec<Vec<String>>>>,
    react: Arc<Mutex<React>>,
    permits: Arc<Semaphore>,
}

impl TestServer {
    /// Starts a server that answers at once.
    async fn start(react: React) -> Self {
        let server = Self {
            url: String::new(),
            requests: Arc::default(),
            react: Arc::new(Mutex::new(react)),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        let router = Router::new().route("/v1/embeddings", post(Self::answer)).with_state(server.clone());
        Self { url: served(router).await, ..server }
    }

    async fn answer(State(server): State<Self>, headers: HeaderMap, axum::Json(body): axum::Json<Value>) -> Response {
        assert_eq!(headers["authorization"], "Bearer geheim");
        let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
        server.requests.lock().unwrap_or_else(PoisonError::into_inner).push(texts.clone());
        server.permits.acquire().await.unwrap().forget();
        let react = *server.react.lock().unwrap_or_else(PoisonError::into_inner);
        react(&texts)
    }

    fn react(&self, react: React) {
        *self.react.lock().unwrap() = react;
    }

    /// The texts of each request.
    fn requests(&self) -> Vec<Vec<String>> {
        self.requests.lock().unwrap().clone()
    }

    fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Answers with unit vectors along the component that a text's first letter names, as [`LetterModel`] does.
fn letters(texts: &[String]) -> Response {
    let data = texts.iter().enumerate().map(|(index, text)| {
        let mut vector = vec![0.0; DIMENSIONS];
        vector[letter(text)] = 1.0;
        json!({ "index": index, "embedding": vector })
    });
    axum::Json(json!({ "data": data.collect::<Vec<_>>() })).into_response()
}

fn letter(text: &str) -> usize {
    text.chars().next().unwrap() as usize % DIMENSIONS
}

fn is_letter(vector: &Vector, text: &str) -> bool {
    vector[letter(text)].to_bits() == 1.0_f32.to_bits()
}

fn unavailable(_: &[String]) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "later").into_response()
}

/// `count` different texts that begin with a letter.
fn texts(letter: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{letter}{number}")).collect()
}

/// Polls until a condition holds.
async fn until(mut condition: impl FnMut() -> bool) {
    let polling = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, polling).await.unwrap();
}

#[tokio::test]
async fn concurrent_requests_for_one_text_are_computed_once() {
    let model = LetterModel::held();
    let embedder = client_of_local_model(&model, LONG).await;
    let requests = join_all((0..20).map(|_| embedder.embed_query("bag")));
    model.permits.add_permits(1);
    for vector in requests.await {
        assert!(is_letter(&vector.unwrap(), "bag"));
    }
    assert_eq!(model.embedded(), 1);
    assert_eq!((embedder.vectors_from("in-process"), embedder.vectors_from("l1")), (1, 19));
    assert_eq!(embedder.model(), "letters");
}

#[tokio::test]
async fn an_embedding_that_takes_too_long_fails_and_can_be_retried() {
    let model = LetterModel::held();
    let limit = Duration::from_millis(20);
    let embedder = client_of_local_model(&model, limit).await;
    let error = embedder.embed_query("bag").await.unwrap_err();
    assert_eq!(error.to_string(), "no embedding within 20 ms");
    assert_eq!(embedder.failures("too-slow"), 1);
    model.permits.add_permits(10);
    let retried = async { while embedder.embed_query("bag").await.is_err() {} };
    tokio::time::timeout(LONG, retried).await.unwrap();
}

#[tokio::test]
async fn low_priority_waits_longer() {
    let model = LetterModel::held();
    let encoder = Arc::new(model.encoder(10).await.low_priority());
    let embedder = Embedder::for_local_model(encoder, 100, LOW_PRIORITY_TIMEOUT, embedder_metrics());
    let release = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        model.permits.add_permits(1);
    };
    let (vector, ()) = tokio::join!(embedder.embed_query("bag"), release);
    assert!(vector.is_ok());
    assert_eq!(model.embedded(), 1, "nothing was computed twice");
}

#[tokio::test]
async fn an_invalid_text_does_not_reach_the_model() {
    let model = LetterModel::quick();
    let embedder = client_of_local_model(&model, LONG).await;
    assert_eq!(embedder.embed_query(" \n").await.unwrap_err().to_string(), "the text is empty");
    assert!(matches!(embedder.embed_query("a\0").await, Err(EmbedError::Text(_))));
    assert_eq!((model.embedded(), embedder.failures("text")), (0, 2));
}

#[tokio::test]
async fn invalid_addresses_are_refused_and_keys_are_not_shown() {
    for (url, expected) in [
        ("http://mina:geheim@localhost/v1", "set the key by its own setting"),
        ("ftp://localhost/v1", "must begin with http:// or https://"),
        ("localhost", "cannot be parsed"),
    ] {
        let args = EmbedderArgs { url: url.to_owned(), ..args() };
        let models = ModelsArgs::default();
        let error = Embedder::for_server(&args, &models, DEFAULT_MODEL, None, embedder_metrics(), None).unwrap_err();
        let error = jangbogo_telemetry::causes(&error).to_string();
        assert!(error.contains("EMBEDDINGS_URL") && error.contains(expected) && !error.contains("geheim"), "{error}");
    }
    let embedder = client("http://localhost/v1", &args(), tuning());
    assert!(!format!("{:?} {embedder:?}", args()).contains("geheim"));
}

#[test]
fn the_settings_are_consistent_beside_the_service_s() {
    <Program as clap::CommandFactory>::command().debug_assert();
    let arguments =
        ["program", "--embeddings-url", "http://a/v1", "--embeddings-cache", "7", "--embedding-threads", "3"];
    let Program { embedder, fallback, service } = <Program as clap::Parser>::try_parse_from(arguments).unwrap();
    assert_eq!((&*embedder.url, embedder.cache), ("http://a/v1", 10_000));
    assert_eq!((service.cache, fallback.encoder.threads().get()), (7, 3));
    assert_eq!(format!("{:?}", embedder.remote), format!("{:?}", RemoteArgs::default()));
    let none = ["program", "--embeddings-fallback", "none"];
    assert!(fallback.loader(encoder_metrics()).is_some());
    let fallback = <Program as clap::Parser>::parse_from(none).fallback;
    assert_eq!(fallback.fallback, Fallback::None);
    assert!(fallback.loader(encoder_metrics()).is_none());
}
