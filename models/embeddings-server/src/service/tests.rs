//! The service's HTTP interface. Models compute on threads that are not on tokio's clock: waits are real.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jangbogo_telemetry::Metrics;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::testing::LetterModel;

async fn service(model: &LetterModel, queue: usize) -> (Router, ServiceMetrics) {
    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let args = ServiceArgs { cache: 100, request_timeout: 5 };
    (router(vec![model.encoder(queue).await], args, metrics.clone()), metrics)
}

async fn post(router: &Router, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
    post_to("/v1/embeddings", router, body).await
}

async fn post_to(path: &str, router: &Router, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
    let request = Request::post(path).body(body.into()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, headers, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn texts_are_answered_in_their_order_and_both_formats_agree() {
    let model = LetterModel::quick();
    let (router, metrics) = service(&model, 100).await;
    let (status, headers, answer) = post(&router, json!({"input": ["bag", "a long text", "bag"]}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["truncated-texts"], "1");
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["model"], "letters");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 14, "total_tokens": 14}));
    for (index, letter) in [b'b', b'a', b'b'].into_iter().enumerate() {
        let datum = &answer["data"][index];
        assert_eq!((&datum["object"], &datum["index"]), (&json!("embedding"), &json!(index)));
        let floats: Vec<f32> = serde_json::from_value(datum["embedding"].clone()).unwrap();
        assert_eq!((floats.len(), floats[usize::from(letter)]), (384, 1.0));
    }
    let cached = |outcome: &str| metrics.embeddings_cache_total.with_label_values(&[outcome]).get();
    assert_eq!((model.embedded(), cached("hit"), cached("miss")), (2, 1, 2));

    let body = json!({"input": "bag", "model": "text-embedding-ada-002", "encoding_format": "base64"});
    let (_, _, answer) = post(&router, body.to_string()).await;
    let bytes = STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
    assert_eq!((bytes.len(), &bytes[4 * 98..][..4]), (4 * 384, &1.0_f32.to_le_bytes()[..]));
    assert_eq!((model.embedded(), cached("hit")), (2, 2));
    assert_eq!(metrics.embeddings_requests_total.with_label_values(&["200"]).get(), 2);
}

#[tokio::test]
async fn errors_have_openai_s_format() {
    let (router, metrics) = service(&LetterModel::quick(), 100).await;
    let (status, _, answer) = post(&router, r#"{"input": ["a", "b\u0000"]}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["error"]["type"], "invalid_request_error");
    assert_eq!(answer["error"]["param"], "input");
    assert_eq!(answer["error"]["code"], Value::Null);
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("input[1] has the control character U+0000"));

    let (status, _, answer) = post(&router, r#"{"input": "a", "model": "gpt-5"}"#).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    let (status, _, answer) = post(&router, vec![b' '; MAX_BODY_BYTES + 1]).await;
    assert_eq!((status, &answer["error"]["type"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("invalid_request_error")));
    let (status, _, _) = post(&router, b"\xff\xfe".to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(metrics.embeddings_requests_total.with_label_values(&["400"]).get(), 2);
}

#[tokio::test]
async fn many_pages_and_a_text_of_a_megabyte_are_accepted() {
    let (router, _) = service(&LetterModel::quick(), 100).await;
    let page = "가".repeat(25_000);
    let (status, _, answer) = post(&router, json!({"input": vec![page; MAX_INPUTS]}).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{}", answer["error"]);
    let (status, headers, answer) = post(&router, json!({"input": "가".repeat(MAX_TEXT_BYTES / 3)}).to_string()).await;
    assert_eq!(headers["truncated-texts"], "1");
    assert_eq!(status, StatusCode::OK, "{}", answer["error"]);
}

#[tokio::test]
async fn a_full_queue_rejects_with_retry_after() {
    let model = LetterModel::held();
    let (router, _) = service(&model, 2).await;
    // More than a batch and the queue take.
    let texts: Vec<String> = (0..MAX_INPUTS).map(|number| format!("text {number} of many")).collect();
    let (status, headers, answer) = post(&router, json!({"input": texts}).to_string()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(answer["error"]["code"], "rate_limit_exceeded");
    model.permits.add_permits(100);
    let retried = async {
        while post(&router, json!({"input": ["a", "b"]}).to_string()).await.0 != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), retried).await.unwrap();
}

#[tokio::test]
async fn a_text_that_fails_the_model_affects_no_other() {
    let (router, _) = service(&LetterModel::quick(), 100).await;
    let (status, _, answer) = post(&router, json!({"input": "panic"}).to_string()).await;
    assert_eq!((status, &answer["error"]["type"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("server_error")));
    let (status, _, _) = post(&router, json!({"input": "bag"}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
}

/// A model with prompts, and another one.
async fn two_models() -> Router {
    let prompts = jangbogo_embedding::Prompts { query: "query: ", passage: "passage: " };
    let first = LetterModel { prompts, ..LetterModel::quick() }.encoder(100).await;
    let second = LetterModel { name: "other letters", ..LetterModel::quick() }.encoder(100).await;
    let args = ServiceArgs { cache: 100, request_timeout: 5 };
    router(vec![first, second], args, ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap())
}

fn letter(vector: &Value) -> char {
    let components: Vec<f32> = serde_json::from_value(vector.clone()).unwrap();
    char::from_u32(components.iter().position(|component| *component > 0.5).unwrap().try_into().unwrap()).unwrap()
}

#[tokio::test]
async fn texts_are_embedded_and_compared() {
    let router = two_models().await;
    let (status, _, answer) = post_to("/embed", &router, json!({"text": "bag"}).to_string()).await;
    assert_eq!((status, letter(&answer["embedding"])), (StatusCode::OK, 'q'), "a query by default");
    let metadata = (&answer["model"], &answer["dimensions"], &answer["tokens"], &answer["truncated"]);
    assert_eq!(metadata, (&json!("letters"), &json!(384), &json!(8), &json!(true)));

    let passages = json!({"texts": ["bag", "cup"], "input_type": "passage"});
    let (_, _, answer) = post_to("/batch-embed", &router, passages.to_string()).await;
    let letter_at = |index: usize| letter(&answer["embeddings"][index]["embedding"]);
    assert_eq!((letter_at(0), letter_at(1)), ('p', 'p'));
    let others = json!({"texts": ["bag", "cup"], "model": "other letters"});
    let (_, _, answer) = post_to("/batch-embed", &router, others.to_string()).await;
    let letter_at = |index: usize| letter(&answer["embeddings"][index]["embedding"]);
    assert_eq!((letter_at(0), letter_at(1), &answer["model"]), ('b', 'c', &json!("other letters")));

    for (texts, similarity) in [(("bag", "bow"), 1.0), (("bag", "cup"), 0.0)] {
        let body = json!({"text1": texts.0, "text2": texts.1, "model": "other letters"});
        let (_, _, answer) = post_to("/similarity", &router, body.to_string()).await;
        assert_eq!((&answer["similarity"], &answer["truncated"]), (&json!(similarity), &json!(false)));
    }
}

#[tokio::test]
async fn errors_name_their_field() {
    let router = two_models().await;
    for (path, body, status, param) in [
        ("/embed", json!({"text": " "}), 400, "text"),
        ("/embed", json!({}), 400, ""),
        ("/embed", json!({"text": "a", "input_type": "document"}), 400, "input_type"),
        ("/embed", json!({"text": "a", "model": "gpt"}), 404, "model"),
        ("/batch-embed", json!({"texts": []}), 400, "texts"),
        ("/batch-embed", json!({"texts": vec!["a"; 101]}), 400, "texts"),
        ("/batch-embed", json!({"texts": ["a", "a\u{7}"]}), 400, "texts"),
        ("/similarity", json!({"text1": "a", "text2": ""}), 400, "text2"),
        ("/similarity", json!({"text1": "a"}), 400, ""),
    ] {
        let (found, _, answer) = post_to(path, &router, body.to_string()).await;
        assert_eq!(found.as_u16(), status, "{path} {body}");
        assert_eq!(answer["error"]["param"].as_str().unwrap_or_default(), param, "{path} {body}: {answer}");
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let router = two_models().await;
    let body = json!({"texts": ["bag", "bag", "cup"], "model": "other letters"}).to_string();
    assert_eq!(post_to("/batch-embed", &router, body).await.0, StatusCode::OK);
    let response = router.oneshot(Request::get("/stats").body(Body::empty()).unwrap()).await.unwrap();
    let stats: Value = serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap();
    assert_eq!(stats["cache"], json!({"hits": 1, "misses": 2, "hit_rate": 1.0 / 3.0}));
    assert_eq!(stats["models"][1]["model"], "other letters");
}

#[tokio::test]
async fn errors_name_the_fault_of_a_body() {
    let (router, _) = service(&LetterModel::quick(), 100).await;
    let many = format!(r#"{{"input": [{}"a"]}}"#, r#""a","#.repeat(MAX_INPUTS));
    let long = format!(r#"{{"input": ["a", "{}"]}}"#, "a".repeat(MAX_TEXT_BYTES + 1));
    let deep = format!(r#"{{"input": {}"#, "[".repeat(100_000));
    for (body, param, message) in [
        ("", "", "EOF while parsing a value at line 1 column 0"),
        ("[]", "", "invalid length 0"),
        ("{}", "", "missing field `input`"),
        (r#"{"input": "a"} x"#, "", "trailing characters"),
        (r#"{"input": "a\u0000b"}"#, "input", "input[0] has the control character U+0000 at byte 1"),
        (r#"{"input": "\ud800"}"#, "input", "unexpected end of hex escape"),
        (r#"{"input": []}"#, "input", "input has no text"),
        (r#"{"input": ["a", ""]}"#, "input", "input[1] is empty"),
        (r#"{"input": [[1, 2]]}"#, "input", "input[0]: invalid type: sequence, expected a string"),
        (r#"{"input": 5}"#, "input", "expected a string or an array of 1 to 100 strings"),
        (&many, "input", "more than 100 strings"),
        (&long, "input", "input[1] has 1048577 bytes"),
        (&deep, "input", "expected a string"),
        (r#"{"input": "a", "dimensions": 100}"#, "dimensions", "have 384 components"),
        (r#"{"input": "a", "dimensions": -1}"#, "dimensions", "invalid value"),
        (r#"{"input": "a", "encoding_format": "hex"}"#, "encoding_format", "unknown variant `hex`"),
        (r#"{"input": "a", "model": 5}"#, "model", "expected a string"),
    ] {
        let (status, _, answer) = post(&router, body.to_owned()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.80}");
        let (found, field) = (answer["error"]["message"].as_str().unwrap(), &answer["error"]["param"]);
        assert!(found.contains(message), "{found} lacks {message}");
        assert_eq!(field.as_str().unwrap_or_default(), param, "{body:.80}: {found}");
    }
    let (_, _, answer) = post(&router, b"{\"input\": \"\xff\"}".to_vec()).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("invalid unicode"));
}

#[tokio::test]
async fn requests_of_openai_s_clients_are_accepted() {
    let (router, _) = service(&LetterModel::quick(), 100).await;
    for body in [
        r#"{"input": "가방", "model": "text-embedding-3-small", "encoding_format": "base64", "user": "7"}"#,
        r#"{"input": ["a", "b\nc"], "model": "letters", "dimensions": 384}"#,
        r#"{"input": "a", "model": null}"#,
    ] {
        assert_eq!(post(&router, body).await.0, StatusCode::OK, "{body}");
    }
}

#[tokio::test]
async fn a_model_named_like_openai_s_is_found_by_its_name() {
    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let (letters, shop) = (LetterModel::quick(), LetterModel { name: "text-embedding-shop", ..LetterModel::quick() });
    let models = vec![letters.encoder(10).await, shop.encoder(10).await];
    let router = router(models, ServiceArgs { cache: 10, request_timeout: 5 }, metrics);
    for (requested, served) in [("text-embedding-shop", "text-embedding-shop"), ("text-embedding-3-small", "letters")] {
        let (_, _, answer) = post(&router, json!({"input": "bag", "model": requested}).to_string()).await;
        assert_eq!(answer["model"], served);
    }
}

#[tokio::test]
async fn a_request_that_never_ends_times_out() {
    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let args = ServiceArgs { cache: 10, request_timeout: 0 };
    let router = router(vec![LetterModel::quick().encoder(10).await], args, metrics.clone());
    let silent = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let (status, _, answer) = post(&router, Body::from_stream(silent)).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("timeout")));
    assert_eq!(metrics.embeddings_requests_total.with_label_values(&["503"]).get(), 1);
}
