//! The service as a client sees it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use runtime::telemetry::Metrics;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::testing::LetterModel;

async fn service(model: &LetterModel, queue: usize) -> (Router, ServiceMetrics) {
    let metrics = ServiceMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let args = ServiceArgs { cache: 100, request_timeout: 5 };
    (router(model.encoder(queue).await, args, metrics.clone()), metrics)
}

async fn post(router: &Router, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
    let request = Request::post("/v1/embeddings").body(body.into()).unwrap();
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

    let asked = json!({"input": "bag", "model": "text-embedding-ada-002", "encoding_format": "base64"});
    let (_, _, answer) = post(&router, asked.to_string()).await;
    let bytes = STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
    assert_eq!((bytes.len(), &bytes[4 * 98..][..4]), (4 * 384, &1.0_f32.to_le_bytes()[..]));
    assert_eq!((model.embedded(), cached("hit")), (2, 2));
    assert_eq!(metrics.embeddings_requests_total.with_label_values(&["200"]).get(), 2);
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_error_as_openai_words_it() {
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
async fn pages_in_many_texts_and_a_megabyte_in_one_are_taken() {
    let (router, _) = service(&LetterModel::quick(), 100).await;
    let page = "가".repeat(25_000);
    let (status, _, answer) = post(&router, json!({"input": vec![page; MAX_INPUTS]}).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{}", answer["error"]);
    let (status, headers, answer) = post(&router, json!({"input": "가".repeat(MAX_TEXT_BYTES / 3)}).to_string()).await;
    assert_eq!(headers["truncated-texts"], "1");
    assert_eq!(status, StatusCode::OK, "{}", answer["error"]);
}

#[tokio::test]
async fn more_than_may_wait_is_refused_and_says_when_to_come_back() {
    let model = LetterModel::held();
    let (router, _) = service(&model, 2).await;
    let (status, headers, answer) = post(&router, json!({"input": ["a", "b", "c", "d", "e"]}).to_string()).await;
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
async fn a_text_that_breaks_the_model_harms_nobody_else() {
    let (router, _) = service(&LetterModel::quick(), 100).await;
    let (status, _, answer) = post(&router, json!({"input": "panic"}).to_string()).await;
    assert_eq!((status, &answer["error"]["type"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("server_error")));
    let (status, _, _) = post(&router, json!({"input": "bag"}).to_string()).await;
    assert_eq!(status, StatusCode::OK);
}
