//! Shoppers' conversations, each with a WebSocket whose messages are recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use super::ledger::{Ledger, Stage};
use super::services::Services;

/// Number of conversations that are opened concurrently.
const AT_ONCE: usize = 16;
/// Timeout until a conversation is visible in the query service.
const VISIBLE_LIMIT: Duration = Duration::from_secs(30);
const VISIBLE_INTERVAL: Duration = Duration::from_millis(50);
/// Prefix of the template writer's name.
const LOCAL_WRITER: &str = "local-";

/// The fields of a pushed entry that are used.
#[derive(Deserialize)]
struct PushedEntry {
    kind: String,
    message_id: Option<Uuid>,
    data: Option<PushedEntryData>,
}

#[derive(Deserialize)]
struct PushedEntryData {
    role: Option<String>,
    written_by: Option<WrittenBy>,
}

#[derive(Deserialize)]
struct WrittenBy {
    model: String,
}

/// Open conversations, each with a socket.
pub struct Conversations {
    pub ids: Vec<Uuid>,
    /// Number of sockets that were closed early.
    closed: Arc<AtomicU64>,
    sockets: Vec<JoinHandle<()>>,
}

impl Conversations {
    /// Opens conversations of a member each, and follows them.
    pub async fn open(services: &Services, count: usize, ledger: &Ledger) -> anyhow::Result<Self> {
        let closed = Arc::new(AtomicU64::new(0));
        let opening = (0..count).map(|number| open(services, number));
        let opened: Vec<_> = stream::iter(opening).buffer_unordered(AT_ONCE).try_collect().await?;
        let (mut ids, mut sockets) = (Vec::new(), Vec::new());
        for (id, socket) in opened {
            ids.push(id);
            sockets.push(tokio::spawn(watch(socket, ledger.clone(), Arc::clone(&closed))));
        }
        Ok(Self { ids, closed, sockets })
    }

    /// Fails if a socket was closed.
    pub fn ensure_open(&self) -> anyhow::Result<()> {
        match self.closed.load(Ordering::Relaxed) {
            0 => Ok(()),
            closed => bail!("{closed} sockets were closed by the query service"),
        }
    }
}

impl Drop for Conversations {
    fn drop(&mut self) {
        self.sockets.iter().for_each(JoinHandle::abort);
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(services: &Services, number: usize) -> anyhow::Result<(Uuid, Socket)> {
    let body = json!({ "member_id": format!("shopper-{number}") });
    let opened: Value = services.post("/v1/conversations", &body).await?;
    let id: Uuid = serde_json::from_value(opened["conversation_id"].clone()).context("a conversation without an id")?;
    let url = format!("{}/v1/conversations/{id}/stream", services.query().replace("http:", "ws:"));
    let started = Instant::now();
    loop {
        match connect_async(&url).await {
            Ok((socket, _)) => return Ok((id, socket)),
            // Not folded yet.
            Err(Error::Http(answer)) if answer.status().as_u16() == StatusCode::NOT_FOUND.as_u16() => {}
            Err(error) => return Err(error).with_context(|| format!("cannot follow conversation {id}")),
        }
        if started.elapsed() > VISIBLE_LIMIT {
            bail!("conversation {id} is unknown {VISIBLE_LIMIT:?} after it was opened");
        }
        tokio::time::sleep(VISIBLE_INTERVAL).await;
    }
}

/// Records pushed entries until the socket is closed.
async fn watch(mut socket: Socket, ledger: Ledger, closed: Arc<AtomicU64>) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let at = Utc::now();
        let Ok(entry) = serde_json::from_str::<PushedEntry>(&text) else { continue };
        let Some(message_id) = entry.message_id else { continue };
        let role = entry.data.as_ref().and_then(|data| data.role.as_deref());
        let stage = match (entry.kind.as_str(), role) {
            ("message", Some("user")) => Stage::Message,
            ("message", _) => Stage::Reply,
            ("intent", _) => Stage::Intent,
            ("recommendation", _) => Stage::Recommendation,
            _ => continue,
        };
        let written_by = entry.data.and_then(|data| data.written_by);
        let by_model = written_by.is_some_and(|run| !run.model.starts_with(LOCAL_WRITER));
        ledger.pushed(message_id, stage, by_model, at);
    }
    closed.fetch_add(1, Ordering::Relaxed);
}
