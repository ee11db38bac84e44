//! One client's WebSocket: what is there, then what comes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use jangbogo_events::EventHash;
use jangbogo_read::ReadError;
use jangbogo_telemetry::causes;
use tracing::warn;
use uuid::Uuid;

use super::Streams;
use super::waiting::CatchUp;
use super::watchers::{OVERLAP, Push, Pushed, Watch};
use crate::conversations::Place;

/// Entries that are read at once.
const PAGE: usize = 100;
/// How long the client may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);
/// Pings without any answer; then it is gone.
const MAX_UNANSWERED: u32 = 3;
const LIVE: &str = r#"{"kind":"live"}"#;

/// Why a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or is no longer there.
    Gone,
    /// The client takes less than there is to tell.
    TooSlow,
    /// What is there cannot be read now.
    CannotRead,
    /// The service stops.
    Stopping,
}

impl End {
    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Gone => return None,
            Self::TooSlow => (close_code::AGAIN, "too slow: connect again with after=<the last event id>"),
            Self::CannotRead => (close_code::AGAIN, "not available: connect again with after=<the last event id>"),
            Self::Stopping => (close_code::AWAY, "stopping: connect again with after=<the last event id>"),
        };
        Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) })
    }
}

pub(super) struct Session {
    pub streams: Arc<Streams>,
    pub socket: WebSocket,
    pub conversation_id: Uuid,
    watch: Watch,
    /// What it was sent, so that nothing is sent twice.
    sent: HashSet<EventHash>,
    /// The messages that are written to their end: pieces of them come too late.
    written: HashSet<Uuid>,
    unanswered: u32,
}

impl Session {
    pub fn new(streams: Arc<Streams>, socket: WebSocket, conversation_id: Uuid) -> Self {
        // From here on, what is appended wakes it.
        let watch = streams.watchers.watch(conversation_id);
        let (sent, written) = (HashSet::new(), HashSet::new());
        Self { streams, socket, conversation_id, watch, sent, written, unanswered: 0 }
    }

    /// Sends what is there, then what comes, until either side ends it.
    pub async fn run(mut self, after: Option<String>) {
        let end = match self.send_all(after.as_deref()).await {
            Ok(()) => self.follow().await,
            Err(end) => end,
        };
        if end == End::TooSlow {
            self.streams.metrics.query_stream_overflows_total.inc();
        }
        let Self { mut socket, watch, .. } = self;
        drop(watch);
        let Some(frame) = end.frame() else { return };
        let closing = async {
            let mut sent = socket.send(Message::Close(Some(frame))).await.is_ok();
            // The client's answer, behind what it had sent before.
            while sent {
                sent = matches!(socket.recv().await, Some(Ok(_)));
            }
        };
        let _ = tokio::time::timeout(CLOSE_LIMIT, closing).await;
    }

    /// Everything that is there, or what is newer than an event and a little more.
    async fn send_all(&mut self, after: Option<&str>) -> Result<(), End> {
        let cannot_read = |error: ReadError| {
            warn!(error = %causes(&error), "a conversation cannot be read");
            End::CannotRead
        };
        let (streams, conversation_id) = (Arc::clone(&self.streams), self.conversation_id);
        let mut missed = streams.missed().await.map_err(cannot_read)?;
        let given = match after {
            // One that is not known: everything.
            Some(event_id) => streams.place_of(conversation_id, event_id).await.map_err(cannot_read)?,
            None => None,
        };
        self.sent.extend(given.map(|place| place.event));
        self.watch.has(given.map(|place| place.event));
        let mut newest = given.map(|place| place.happened_at);
        // Turns that were still open then may have ended since.
        let overlap = |place: Place| Place { happened_at: place.happened_at - OVERLAP, event: EventHash::MIN };
        let mut behind = given.map(overlap);
        loop {
            let rows = streams.entries(conversation_id, behind, PAGE).await.map_err(cannot_read)?;
            let is_last = rows.len() < PAGE;
            self.watch.has(rows.iter().map(|row| row.event));
            for row in rows {
                behind = Some(row.place());
                newest = newest.max(Some(row.entry.happened_at));
                if let Ok(pushed) = Pushed::of(&row, None) {
                    self.send_entry(&pushed).await?;
                }
            }
            if is_last {
                break;
            }
        }
        self.send(Message::Text(Utf8Bytes::from_static(LIVE))).await?;
        if self.watch.follows(newest) {
            missed.get_or_insert_default();
        }
        if let Some(until) = missed {
            // The one that reads them ends with the service.
            let _ = streams.catch_ups.send(CatchUp { conversation_id: Some(conversation_id), until });
        }
        Ok(())
    }

    /// What comes. It wakes for a push and for what the client sends, and for nothing else.
    async fn follow(&mut self) -> End {
        loop {
            let stop = &self.streams.stop;
            let told = tokio::select! {
                () = stop.cancelled() => Err(End::Stopping),
                () = self.watch.too_slow.cancelled() => Err(End::TooSlow),
                push = self.watch.pushes.recv() => match push {
                    Some(push) => self.tell(push).await,
                    None => Err(End::Gone),
                },
                said = self.socket.recv() => match said {
                    // Pings are answered by the library; this socket is for listening.
                    Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                        self.unanswered = 0;
                        Ok(())
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
                },
            };
            if let Err(end) = told {
                return end;
            }
        }
    }

    async fn tell(&mut self, push: Push) -> Result<(), End> {
        match push {
            Push::Entry(pushed) => {
                if self.send_entry(&pushed).await? {
                    self.streams.metrics.pushed(&pushed);
                }
                Ok(())
            }
            Push::ReplyChunk { message_id, .. } if self.written.contains(&message_id) => Ok(()),
            Push::ReplyChunk { text, .. } => {
                self.send(Message::Text(text)).await?;
                self.streams.metrics.query_stream_pushes_total.with_label_values(&["piece"]).inc();
                Ok(())
            }
            Push::Ping if self.unanswered >= MAX_UNANSWERED => Err(End::Gone),
            Push::Ping => {
                self.unanswered += 1;
                self.send(Message::Ping(axum::body::Bytes::new())).await
            }
        }
    }

    /// Gives whether it was not sent before.
    async fn send_entry(&mut self, pushed: &Pushed) -> Result<bool, End> {
        if !self.sent.insert(pushed.event) {
            return Ok(false);
        }
        self.written.extend(&pushed.replaces);
        self.send(Message::Text(pushed.text.clone())).await?;
        Ok(true)
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        tokio::select! {
            sent = self.socket.send(message) => sent.map_err(|_| End::Gone),
            () = self.watch.too_slow.cancelled() => Err(End::TooSlow),
            () = self.streams.stop.cancelled() => Err(End::Stopping),
        }
    }
}
