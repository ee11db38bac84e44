//! A server that speaks OpenAI's chat protocol and follows a script: answers, errors, stalls and closed connections.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The reaction to one request.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// A status, further headers and a body.
    Say(u16, &'static str, String),
    After(Duration, Box<Reaction>),
    /// Keeps the connection open and sends nothing.
    Hang,
    HangUp,
    /// Server-sent events in a chunked body.
    Stream(Vec<Step>),
    /// Server-sent events in a body that ends with the connection.
    PlainStream(Vec<Step>),
}

/// A step of a stream.
#[derive(Clone, Debug)]
pub enum Step {
    /// An event with this data.
    Event(String),
    /// A comment, as servers send to keep connections open.
    Comment,
    /// Waits before the next step.
    Pause(Duration),
    /// Closes the connection before the stream has ended.
    Kill,
    /// Keeps the connection open and sends nothing more.
    Stall,
}

/// A request as it was received; the head in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Value,
}

/// Follows its script, one reaction for each request; the last is repeated for all further requests.
#[derive(Debug)]
pub struct ScriptedServer {
    pub base_url: String,
    received: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<VecDeque<Reaction>>>,
    accepting: JoinHandle<()>,
}

impl ScriptedServer {
    pub async fn start(script: impl IntoIterator<Item = Reaction>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let received: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (reactions, requests) = (script.clone(), received.clone());
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
                    // A client that has disconnected is not an error of the server.
                    let _ = react(&mut connection, reaction).await;
                });
            }
        });
        Self { base_url, received, script, accepting }
    }

    pub fn follow(&self, script: impl IntoIterator<Item = Reaction>) {
        *self.script.lock().unwrap() = script.into_iter().collect();
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.received.lock().unwrap().clone()
    }

    /// Number of requests so far.
    pub fn request_count(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn read_request(connection: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Some(Request { head, body: serde_json::from_str(body).unwrap_or_default() });
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
                format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n{headers}content-length: {}", body.len());
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

/// A complete answer with the finish reason `stop`.
pub fn answer(text: &str) -> Reaction {
    finished(text, "stop")
}

/// A complete answer with this finish reason.
pub fn finished(text: &str, reason: &str) -> Reaction {
    let body = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "scripted-1",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": reason }],
        "usage": { "prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42 },
    });
    Reaction::Say(200, "content-type: application/json\r\n", body.to_string())
}

/// An error body in OpenAI's form.
pub fn refusal(status: u16, message: &str) -> Reaction {
    let body = json!({ "error": { "message": message, "type": "invalid", "param": null, "code": null } });
    Reaction::Say(status, "content-type: application/json\r\n", body.to_string())
}

/// A chunk of a streamed answer.
pub fn chunk(text: &str) -> Step {
    let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
    event(&json!({ "model": "scripted-1", "choices": [choice] }))
}

/// The end of a streamed answer: finish reason, usage and `[DONE]`.
pub fn end(reason: &str) -> Vec<Step> {
    vec![
        event(&json!({ "model": "scripted-1", "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })),
        event(&json!({ "choices": [], "usage": { "prompt_tokens": 30, "completion_tokens": 12 } })),
        Step::Event("[DONE]".to_owned()),
    ]
}

/// A server-sent event with this JSON.
pub fn event(data: &Value) -> Step {
    Step::Event(data.to_string())
}

/// A complete streamed answer in these chunks.
pub fn streamed(chunks: &[&str]) -> Reaction {
    let mut steps: Vec<Step> = chunks.iter().map(|text| chunk(text)).collect();
    steps.extend(end("stop"));
    Reaction::Stream(steps)
}
