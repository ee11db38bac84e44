//! A server that speaks OpenAI's protocol and misbehaves on command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jangbogo_language_model::{ApiKey, LanguageModel, LanguageModelMetrics, Prompt, Role, Schema, Settings};
use jangbogo_telemetry::Metrics;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server's reaction to one request.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Status, further headers, body.
    Say(u16, &'static str, String),
    /// A reaction after a delay.
    After(Duration, Box<Reaction>),
    /// Sends nothing, and keeps the connection open.
    Hang,
    HangUp,
    Stream(Vec<Step>),
    /// Server-sent events without chunked encoding: the body ends with the connection.
    PlainStream(Vec<Step>),
}

/// A step of a stream.
#[derive(Clone, Debug)]
pub enum Step {
    /// An event with this data.
    Event(String),
    /// A comment, as servers send to keep connections open.
    Comment,
    Pause(Duration),
    /// Closes the connection within the stream.
    Kill,
    /// Sends nothing more, and keeps the connection open.
    Stall,
}

/// A request to the server.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: Value,
}

/// A server that follows a script; its last reaction is repeated.
#[derive(Debug)]
pub struct ScriptedServer {
    pub base_url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Mutex<VecDeque<Reaction>>>,
    accepting: JoinHandle<()>,
}

impl ScriptedServer {
    pub async fn start(script: impl IntoIterator<Item = Reaction>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (reactions, requests) = (script.clone(), asked.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (reactions, requests) = (reactions.clone(), requests.clone());
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut connection).await else { return };
                    requests.lock().unwrap().push(request);
                    let reaction = {
                        let mut reactions = reactions.lock().unwrap();
                        let next = reactions.pop_front().unwrap();
                        if reactions.is_empty() {
                            reactions.push_back(next.clone());
                        }
                        next
                    };
                    // The client may have disconnected.
                    let _ = react(&mut connection, reaction).await;
                });
            }
        });
        Self { base_url, asked, script, accepting }
    }

    pub fn follow(&self, script: impl IntoIterator<Item = Reaction>) {
        *self.script.lock().unwrap() = script.into_iter().collect();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn read_request(connection: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Some(Asked { head, body: serde_json::from_str(body).unwrap_or_default() });
            }
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn react(connection: &mut TcpStream, reaction: Reaction) -> std::io::Result<()> {
    match reaction {
        Reaction::Say(status, headers, body) => {
            let head =
                format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n{headers}content-length: {}", body.len());
            connection.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await
        }
        Reaction::After(pause, reaction) => {
            tokio::time::sleep(pause).await;
            Box::pin(react(connection, *reaction)).await
        }
        Reaction::Hang => std::future::pending().await,
        Reaction::HangUp => Ok(()),
        Reaction::Stream(steps) => stream(connection, steps, true).await,
        Reaction::PlainStream(steps) => stream(connection, steps, false).await,
    }
}

async fn stream(connection: &mut TcpStream, steps: Vec<Step>, in_chunks: bool) -> std::io::Result<()> {
    let encoding = if in_chunks { "transfer-encoding: chunked\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n{encoding}\r\n");
    connection.write_all(head.as_bytes()).await?;
    for step in steps {
        let text = match step {
            Step::Event(data) => format!("data: {data}\n\n"),
            Step::Comment => ": still here\n\n".to_owned(),
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                continue;
            }
            Step::Kill => return Ok(()),
            Step::Stall => return std::future::pending().await,
        };
        let text = if in_chunks { format!("{:x}\r\n{text}\r\n", text.len()) } else { text };
        connection.write_all(text.as_bytes()).await?;
        connection.flush().await?;
    }
    if in_chunks { connection.write_all(b"0\r\n\r\n").await } else { Ok(()) }
}

pub fn answer(text: &str) -> Reaction {
    finished(text, "stop")
}

/// An answer with a `finish_reason`.
pub fn finished(text: &str, reason: &str) -> Reaction {
    let body = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "scripted-1",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": reason }],
        "usage": { "prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42 },
    });
    Reaction::Say(200, "content-type: application/json\r\n", body.to_string())
}

/// An error in OpenAI's format.
pub fn refusal(status: u16, message: &str) -> Reaction {
    let body = json!({ "error": { "message": message, "type": "invalid", "param": null, "code": null } });
    Reaction::Say(status, "content-type: application/json\r\n", body.to_string())
}

/// A chunk of a streamed answer.
pub fn chunk(text: &str) -> Step {
    event(
        &json!({ "model": "scripted-1", "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] }),
    )
}

/// The end of a streamed answer, with a `finish_reason`.
pub fn end(reason: &str) -> Vec<Step> {
    vec![
        event(&json!({ "model": "scripted-1", "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })),
        event(&json!({ "choices": [], "usage": { "prompt_tokens": 30, "completion_tokens": 12 } })),
        Step::Event("[DONE]".to_owned()),
    ]
}

pub fn event(data: &Value) -> Step {
    Step::Event(data.to_string())
}

/// A complete streamed answer.
pub fn streamed(chunks: &[&str]) -> Reaction {
    let mut steps: Vec<Step> = chunks.iter().map(|text| chunk(text)).collect();
    steps.extend(end("stop"));
    Reaction::Stream(steps)
}

/// Settings with short time limits and pauses.
pub fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: Some(base_url.to_owned()),
        api_key: Some(ApiKey::from("sk-secret")),
        model: "wanted-1".to_owned(),
        time_limit: Duration::from_secs(3),
        piece_limit: Duration::from_millis(400),
        min_pause: Duration::from_millis(10),
        max_pause: Duration::from_millis(50),
        breaker_calls: 100,
        ..Settings::default()
    }
}

pub fn model(settings: &Settings) -> LanguageModel {
    model_and_metrics(settings).0
}

pub fn model_and_metrics(settings: &Settings) -> (LanguageModel, Metrics) {
    let metrics = Metrics::new().unwrap();
    let registered = LanguageModelMetrics::register(&metrics, &[]).unwrap();
    (LanguageModel::new(settings, registered).unwrap().unwrap(), metrics)
}

pub fn prompt() -> Prompt {
    Prompt { system: "Say what is wanted.".to_owned(), messages: vec![(Role::User, "A red dress".to_owned())] }
}

/// A colour, and a count of at most five.
pub fn schema() -> Schema {
    let schema = json!({
        "type": "object",
        "properties": {
            "colour": { "type": "string", "maxLength": 12 },
            "count": { "type": "integer", "minimum": 0, "maximum": 5 },
        },
        "required": ["colour", "count"],
        "additionalProperties": false,
    });
    Schema::new("wish", schema).unwrap()
}
