//! One client's WebSocket: sends the existing entries, then the live ones.

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
use crate::conversations::EntryPosition;

/// Entries read with one query.
const PAGE: usize = 100;
/// Timeout of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Unanswered pings after which the client counts as gone.
const MAX_UNANSWERED: u32 = 3;
const LIVE: &str = r#"{"kind":"live"}"#;

/// Reason to close a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or no longer answers.
    Gone,
    /// The client reads more slowly than entries are pushed.
    TooSlow,
    /// Entries cannot be read now.
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
    /// Entries that were sent, to drop duplicates.
    sent: HashSet<EventHash>,
    /// Completed replies: later chunks of them are dropped.
    completed: HashSet<Uuid>,
    unanswered: u32,
}

impl Session {
    pub fn new(streams: Arc<Streams>, socket: WebSocket, conversation_id: Uuid) -> Self {
        // Records appended from here on wake it.
        let watch = streams.watchers.watch(conversation_id);
        let (sent, completed) = (HashSet::new(), HashSet::new());
        Self { streams, socket, conversation_id, watch, sent, completed, unanswered: 0 }
    }

    /// Sends the existing entries, then the live ones, until either side closes it.
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
            // Reads up to the client's close frame.
            while sent {
                sent = matches!(socket.recv().await, Some(Ok(_)));
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }

    /// Sends all existing entries, or those after an event and the overlap before it.
    async fn send_all(&mut self, after: Option<&str>) -> Result<(), End> {
        let cannot_read = |error: ReadError| {
            warn!(error = %causes(&error), "entries of a conversation cannot be read");
            End::CannotRead
        };
        let (streams, conversation_id) = (Arc::clone(&self.streams), self.conversation_id);
        let mut missed = streams.missed().await.map_err(cannot_read)?;
        let position = match after {
            // With an unknown event all entries are sent.
            Some(event_id) => streams.position_of(conversation_id, event_id).await.map_err(cannot_read)?,
            None => None,
        };
        self.sent.extend(position.map(|position| position.event));
        self.watch.mark_queued(position.map(|position| position.event));
        let mut newest = position.map(|position| position.happened_at);
        // Turns that were open then may have ended since.
        let overlap = |position: EntryPosition| EntryPosition {
            happened_at: position.happened_at - OVERLAP,
            event: EventHash::MIN,
        };
        let mut after = position.map(overlap);
        loop {
            let rows = streams.entries(conversation_id, after, PAGE).await.map_err(cannot_read)?;
            let is_last = rows.len() < PAGE;
            self.watch.mark_queued(rows.iter().map(|row| row.event));
            for row in rows {
                after = Some(row.position());
                newest = newest.max(Some(row.entry.happened_at));
                if let Ok(pushed) = Pushed::from_row(&row, None) {
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
            // The receiver ends only with the service.
            let _ = streams.catch_ups.send(CatchUp { conversation_id: Some(conversation_id), until });
        }
        Ok(())
    }

    /// Sends live entries. It wakes only for a push and for messages of the client.
    async fn follow(&mut self) -> End {
        loop {
            let stop = &self.streams.stop;
            let outcome = tokio::select! {
                () = stop.cancelled() => Err(End::Stopping),
                () = self.watch.too_slow.cancelled() => Err(End::TooSlow),
                push = self.watch.pushes.recv() => match push {
                    Some(push) => self.send_push(push).await,
                    None => Err(End::Gone),
                },
                received = self.socket.recv() => match received {
                    // The library answers pings; other messages are ignored.
                    Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                        self.unanswered = 0;
                        Ok(())
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
                },
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    async fn send_push(&mut self, push: Push) -> Result<(), End> {
        match push {
            Push::Entry(pushed) => {
                if self.send_entry(&pushed).await? {
                    self.streams.metrics.pushed(&pushed);
                }
                Ok(())
            }
            Push::ReplyChunk { message_id, .. } if self.completed.contains(&message_id) => Ok(()),
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

    /// Sends an entry unless it was sent before; returns whether it was sent.
    async fn send_entry(&mut self, pushed: &Pushed) -> Result<bool, End> {
        if !self.sent.insert(pushed.event) {
            return Ok(false);
        }
        self.completed.extend(&pushed.replaces);
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
