//! The client with the model in this process, with our own service, and with servers that are none too good.

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
use jangbogo_embeddings_server::model::ArithmeticArgs;
use jangbogo_embeddings_server::service::ServiceArgs;
use jangbogo_embeddings_server::testing::LetterModel;
use jangbogo_telemetry::Metrics;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);

/// Those of a client that waits longer than any test takes.
fn args() -> EmbedderArgs {
    let queue = 100.try_into().unwrap();
    let models = ModelsArgs::default();
    EmbedderArgs {
        url: String::new(),
        timeout_ms: 30_000.try_into().unwrap(),
        cache: 1000,
        remote: RemoteArgs { api_key: Some(ApiKey::from("geheim")), ..RemoteArgs::default() },
        encoder: EncoderArgs { computed: ArithmeticArgs::default(), threads: None, queue, models },
    }
}

fn embedder_metrics() -> EmbedderMetrics {
    EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap()
}

fn encoder_metrics() -> EncoderMetrics {
    EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap()
}

/// With pauses that no test notices, and without anything that stands in.
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
    Embedder::of_wire(wire, model, args, tuning, embedder_metrics())
}

impl Embedder {
    async fn ask(&self, text: &str) -> Result<Vector, EmbedError> {
        self.embed(Purpose::Query, text).await
    }

    /// Asks for many texts at one time.
    async fn ask_all(&self, texts: &[String]) -> Vec<Result<Vector, EmbedError>> {
        join_all(texts.iter().map(|text| self.ask(text))).await
    }

    fn given(&self, source: &str) -> u64 {
        self.metrics.embedder_vectors_total.with_label_values(&[source]).get()
    }

    fn failed(&self, reason: &str) -> u64 {
        self.metrics.embedder_failures_total.with_label_values(&[reason]).get()
    }
}

async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// What a server does about texts.
type React = fn(&[String]) -> Response;

/// A server that remembers what it was asked. Each request takes a permit.
#[derive(Clone)]
struct TestServer {
    url: String,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    react: Arc<Mutex<React>>,
    permits: Arc<Semaphore>,
}

impl TestServer {
    /// One that answers at once.
    async fn start(react: React) -> Self {
        let server = Self {
            url: String::new(),
            asked: Arc::default(),
            react: Arc::new(Mutex::new(react)),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        let router = Router::new().route("/v1/embeddings", post(Self::answer)).with_state(server.clone());
        Self { url: served(router).await, ..server }
    }

    async fn answer(State(server): State<Self>, headers: HeaderMap, axum::Json(body): axum::Json<Value>) -> Response {
        assert_eq!(headers["authorization"], "Bearer geheim");
        let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
        server.asked.lock().unwrap_or_else(PoisonError::into_inner).push(texts.clone());
        server.permits.acquire().await.unwrap().forget();
        let react = *server.react.lock().unwrap_or_else(PoisonError::into_inner);
        react(&texts)
    }

    /// Does otherwise from now on.
    fn react(&self, react: React) {
        *self.react.lock().unwrap() = react;
    }

    /// What it was asked, by request.
    fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Vectors that point where the first letters of texts say, as [`LetterModel`] makes them.
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

fn unwell(_: &[String]) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "later").into_response()
}

/// So many different texts, all of this letter.
fn texts(letter: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{letter}{number}")).collect()
}

/// Waits until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, so).await.unwrap();
}

#[tokio::test]
async fn a_text_that_many_ask_for_is_embedded_once() {
    let model = LetterModel::held();
    let embedder = Embedder::of_encoder(model.encoder(10).await, 100, LONG, embedder_metrics());
    let asked = join_all((0..20).map(|_| embedder.ask("bag")));
    model.permits.add_permits(1);
    for vector in asked.await {
        assert!(is_letter(&vector.unwrap(), "bag"));
    }
    assert_eq!(model.embedded(), 1);
    assert_eq!((embedder.given("in-process"), embedder.given("l1")), (1, 19));
    assert_eq!(embedder.model(), "letters");
}

#[tokio::test]
async fn what_takes_too_long_is_no_vector_and_is_asked_for_anew() {
    let model = LetterModel::held();
    let limit = Duration::from_millis(20);
    let embedder = Embedder::of_encoder(model.encoder(10).await, 100, limit, embedder_metrics());
    let error = embedder.ask("bag").await.unwrap_err();
    assert_eq!(error.to_string(), "no embedding within 20 ms");
    assert_eq!(embedder.failed("too-slow"), 1);
    model.permits.add_permits(10);
    let retried = async { while embedder.ask("bag").await.is_err() {} };
    tokio::time::timeout(LONG, retried).await.unwrap();
}

#[tokio::test]
async fn the_patient_wait_for_what_takes_long() {
    let model = LetterModel::held();
    let embedder =
        Embedder::of_encoder(model.encoder(10).await.low_priority(), 100, LOW_PRIORITY_TIMEOUT, embedder_metrics());
    let release = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        model.permits.add_permits(1);
    };
    let (vector, ()) = tokio::join!(embedder.ask("bag"), release);
    assert!(vector.is_ok());
    assert_eq!(model.embedded(), 1, "nothing was computed twice");
}

#[tokio::test]
async fn a_text_that_cannot_be_embedded_is_not_even_asked_for() {
    let model = LetterModel::quick();
    let embedder = Embedder::of_encoder(model.encoder(10).await, 100, LONG, embedder_metrics());
    assert_eq!(embedder.ask(" \n").await.unwrap_err().to_string(), "the text is empty");
    assert!(matches!(embedder.ask("a\0").await, Err(EmbedError::Text(_))));
    assert_eq!((model.embedded(), embedder.failed("text")), (0, 2));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_keys_are_not_shown() {
    for (url, expected) in [
        ("http://mina:geheim@localhost/v1", "a key has a setting of its own"),
        ("ftp://localhost/v1", "neither http:// nor https://"),
        ("localhost", "cannot be read"),
    ] {
        let args = EmbedderArgs { url: url.to_owned(), ..args() };
        let error = Embedder::of_server(&args, DEFAULT_MODEL, None, embedder_metrics(), encoder_metrics()).unwrap_err();
        let error = jangbogo_telemetry::causes(&error).to_string();
        assert!(error.contains("EMBEDDINGS_URL") && error.contains(expected) && !error.contains("geheim"), "{error}");
    }
    let embedder = client("http://localhost/v1", &args(), tuning());
    assert!(!format!("{:?} {embedder:?}", args()).contains("geheim"));
}

#[test]
fn the_settings_are_consistent_beside_the_service_s() {
    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        embedder: EmbedderArgs,
        #[command(flatten)]
        service: ServiceArgs,
    }
    <Program as clap::CommandFactory>::command().debug_assert();
    let given = ["program", "--embeddings-url", "http://a/v1", "--embeddings-cache", "7", "--embedding-threads", "3"];
    let Program { embedder, service } = <Program as clap::Parser>::try_parse_from(given).unwrap();
    assert_eq!((&*embedder.url, embedder.cache), ("http://a/v1", 10_000));
    assert_eq!((service.cache, embedder.encoder.threads().get()), (7, 3));
    assert_eq!(format!("{:?}", embedder.remote), format!("{:?}", RemoteArgs::default()));
    let none = ["program", "--embeddings-fallback", "none"];
    assert_eq!(<Program as clap::Parser>::parse_from(none).embedder.remote.fallback, Fallback::None);
}
