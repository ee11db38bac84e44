//! A language model that is slow and often fails, as a load condition: a server that speaks OpenAI's protocol, takes 20
//! seconds, and fails one request in five.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const MODEL: &str = "slow-1";
/// The processors' timeout of a call, of which a message has two.
pub const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Duration of every response, failures included.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// One request in this number fails.
const FAILING: u64 = 5;
/// Chunks of its replies. They name no product, so that grounding accepts them after any recommendation.
const CHUNKS: [&str; 8] =
    ["Here is what ", "the shop found ", "for you. ", "Each of these ", "fits what ", "you told ", "us so ", "far."];

/// The server; stops when it is dropped.
pub struct SlowModel {
    base_url: String,
    requests: Arc<AtomicU64>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl SlowModel {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let requests = Arc::new(AtomicU64::new(0));
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&requests));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { base_url, requests, serving })
    }

    /// Environment variables for the processors.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OPENAI_BASE_URL", self.base_url.clone()),
            ("OPENAI_API_KEY", "none".to_owned()),
            ("OPENAI_MODEL", MODEL.to_owned()),
            ("LLM_TIMEOUT", CALL_LIMIT.as_secs().to_string()),
        ]
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for SlowModel {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn complete(State(requests): State<Arc<AtomicU64>>, Json(request): Json<Value>) -> Response {
    let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
    if number.is_multiple_of(FAILING) {
        tokio::time::sleep(ANSWER_TIME).await;
        let error =
            json!({ "error": { "message": "overloaded", "type": "server_error", "param": null, "code": null } });
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response();
    }
    if request["stream"] == true {
        return streamed();
    }
    tokio::time::sleep(ANSWER_TIME).await;
    Json(json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": understanding().to_string() },
        }],
        "usage": { "prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980 },
    }))
    .into_response()
}

fn understanding() -> Value {
    json!({
        "intent": "find-product",
        "wishes": [{ "slot": "product", "value": "lunch bag", "wanted": true }],
        "price": null, "price_direction": null, "quantity": null,
        "retracted": [], "indifferent": [], "references": [],
        "sentiment_permille": 0, "language": "en",
    })
}

/// Streams the chunks over the response's duration.
fn streamed() -> Response {
    let choice = |delta: Value, reason: Option<&str>| {
        json!({ "model": MODEL, "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] }).to_string()
    };
    let mut chunks: Vec<String> = CHUNKS.map(|chunk| choice(json!({ "content": chunk }), None)).into();
    chunks.push(choice(json!({}), Some("stop")));
    chunks.push(json!({ "choices": [], "usage": { "prompt_tokens": 900, "completion_tokens": 20 } }).to_string());
    chunks.push("[DONE]".to_owned());
    let pause = ANSWER_TIME / u32::try_from(chunks.len()).unwrap_or(1);
    let events = stream::unfold(chunks.into_iter(), move |mut left| async move {
        let chunk = left.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(Event::default().data(chunk)), left))
    });
    Sse::new(events).into_response()
}
