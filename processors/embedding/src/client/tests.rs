//! The client with the model in this process, with our own service, and with servers that are none too good.

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use futures::future::join_all;
use runtime::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::DIMENSIONS;
use crate::model::Arithmetic;
use crate::models::{DEFAULT_MODEL, ModelsArgs};
use crate::service::{ServiceArgs, ServiceMetrics, router};
use crate::testing::LetterModel;

fn args(url: Option<String>) -> EmbedderArgs {
    let queue = 100.try_into().unwrap();
    let (model, models) = (DEFAULT_MODEL.to_owned(), ModelsArgs::default());
    EmbedderArgs {
        url,
        api_key: Some("geheim".parse().unwrap()),
        timeout_ms: 1000.try_into().unwrap(),
        cache: 100,
        encoder: EncoderArgs { model, arithmetic: Arithmetic::default(), threads: None, queue, models },
    }
}

fn embedder_metrics() -> EmbedderMetrics {
    EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap()
}

async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A client of a server that answers each request with this.
async fn of_server(
    answer: impl Fn(HeaderMap, Value) -> (StatusCode, Value) + Clone + Send + Sync + 'static,
) -> Embedder {
    let handler = async move |headers: HeaderMap, Json(body): Json<Value>| {
        let (status, answer) = answer(headers, body);
        (status, Json(answer))
    };
    of_url(served(Router::new().route("/v1/embeddings", post(handler))).await).await
}

async fn of_url(url: String) -> Embedder {
    let encoder_metrics = EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    Embedder::new(&args(Some(url)), embedder_metrics(), encoder_metrics).await.unwrap()
}

#[tokio::test]
async fn a_text_that_many_ask_for_is_embedded_once() {
    let model = LetterModel::held();
    let embedder = Embedder::of_encoder(model.encoder(10).await, &args(None), embedder_metrics());
    let asked = join_all((0..20).map(|_| embedder.embed(Purpose::Query, "bag")));
    model.permits.add_permits(1);
    for vector in asked.await {
        assert_eq!(vector.unwrap()[usize::from(b'b')].to_bits(), 1.0_f32.to_bits());
    }
    assert_eq!(model.embedded(), 1);
    let outcomes =
        ["computed", "cached"].map(|outcome| embedder.metrics.embedder_vectors_total.with_label_values(&[outcome]));
    assert_eq!(outcomes.map(|counter| counter.get()), [1, 19]);
    assert_eq!(embedder.model(), "letters");
}

#[tokio::test]
async fn what_takes_too_long_is_no_vector_and_is_asked_for_anew() {
    let model = LetterModel::held();
    let mut args = args(None);
    args.timeout_ms = 20.try_into().unwrap();
    let embedder = Embedder::of_encoder(model.encoder(10).await, &args, embedder_metrics());
    let error = embedder.embed(Purpose::Query, "bag").await.unwrap_err();
    assert_eq!(error.to_string(), "no embedding within 20 ms");
    model.permits.add_permits(10);
    let retried = async { while embedder.embed(Purpose::Query, "bag").await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), retried).await.unwrap();
}

#[tokio::test]
async fn the_patient_wait_for_what_takes_long() {
    let model = LetterModel::held();
    let mut args = args(None);
    args.timeout_ms = 20.try_into().unwrap();
    let embedder = Embedder::of_encoder(model.encoder(10).await, &args, embedder_metrics()).patient();
    let release = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        model.permits.add_permits(1);
    };
    let (vector, ()) = tokio::join!(embedder.embed(Purpose::Query, "bag"), release);
    assert!(vector.is_ok());
    assert_eq!(model.embedded(), 1, "nothing was computed twice");
}

#[tokio::test]
async fn a_text_that_cannot_be_embedded_is_not_even_asked_for() {
    let model = LetterModel::quick();
    let embedder = Embedder::of_encoder(model.encoder(10).await, &args(None), embedder_metrics());
    assert_eq!(embedder.embed(Purpose::Query, " \n").await.unwrap_err().to_string(), "the text is empty");
    assert!(matches!(embedder.embed(Purpose::Query, "a\0").await, Err(EmbedError::Text(_))));
    assert_eq!(model.embedded(), 0);
}

#[tokio::test]
async fn our_own_service_gives_what_the_model_in_this_process_gives() {
    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let model = LetterModel::quick();
    let service_args = ServiceArgs { cache: 10, request_timeout: 5 };
    let encoder = model.encoder(10).await;
    let url = served(router(vec![encoder.clone()], service_args, metrics)).await;
    let in_process = Embedder::of_encoder(encoder, &args(None), embedder_metrics());
    let mut args = args(Some(url));
    args.encoder.model = "letters".to_owned();
    let encoder_metrics = EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let remote = Embedder::new(&args, embedder_metrics(), encoder_metrics).await.unwrap();
    assert_eq!(
        remote.embed(Purpose::Query, "bag").await.unwrap(),
        in_process.embed(Purpose::Query, "bag").await.unwrap()
    );
    assert_eq!(remote.model(), "letters");
}

#[tokio::test]
async fn servers_are_asked_as_openai_s_are_and_may_answer_in_digits() {
    let embedder = of_server(|headers, body| {
        assert_eq!(headers["authorization"], "Bearer geheim");
        assert_eq!(body, json!({"input": "bag", "model": "all-MiniLM-L6-v2", "encoding_format": "base64"}));
        let mut vector = vec![0.0; DIMENSIONS];
        (vector[0], vector[1]) = (3.0, 4.0);
        (StatusCode::OK, json!({"data": [{"embedding": vector}]}))
    })
    .await;
    assert_eq!(embedder.embed(Purpose::Query, "bag").await.unwrap()[..3], [0.6, 0.8, 0.0]);
}

#[tokio::test]
async fn what_is_no_vector_is_an_error_that_says_so() {
    for (status, answer, expected) in [
        (200, json!({"data": [{"embedding": [1.0, 2.0]}]}), "has 2 components, not 384"),
        (200, json!({"data": [{"embedding": vec![0.0; DIMENSIONS]}]}), "has a vector of length 0"),
        (200, json!({"data": [{"embedding": "AAAA"}]}), "holds a part of a component"),
        (200, json!({"data": []}), "holds 0 vectors"),
        (200, json!({"data": [{"embedding": "x".repeat(300 * 1024)}]}), "has more than 262144 bytes"),
        (200, json!("hello"), "cannot be read"),
        (401, json!({"error": {"message": "who are you?"}}), "answers 401 Unauthorized: who are you?"),
        (503, json!("later"), "answers 503 Service Unavailable: \"later\""),
    ] {
        let embedder = of_server(move |_, _| (StatusCode::from_u16(status).unwrap(), answer.clone())).await;
        let error = embedder.embed(Purpose::Query, "bag").await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
        assert_eq!(embedder.metrics.embedder_vectors_total.with_label_values(&["failed"]).get(), 1);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = of_url(url).await.embed(Purpose::Query, "bag").await.unwrap_err();
    assert_eq!(error.to_string(), "the embeddings server does not answer");
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_refused_and_keys_are_not_shown() {
    let encoder_metrics = EncoderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    for (url, expected) in [
        ("https://api.example.org/v1", "http://"),
        ("http://mina:geheim@localhost/v1", "EMBEDDINGS_API_KEY"),
        ("localhost", "cannot be read"),
    ] {
        let made = Embedder::new(&args(Some(url.to_owned())), embedder_metrics(), encoder_metrics.clone()).await;
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("geheim"), "{error}");
    }
    let embedder = of_url("http://localhost/v1".to_owned()).await;
    assert!(!format!("{:?} {embedder:?}", args(None)).contains("geheim"));
    assert!("line\nfeed".parse::<ApiKey>().is_err());
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
    let program = <Program as clap::Parser>::try_parse_from(given).unwrap();
    assert_eq!((program.embedder.url.as_deref(), program.embedder.cache), (Some("http://a/v1"), 10_000));
    assert_eq!((program.service.cache, program.embedder.encoder.threads().get()), (7, 3));
}
