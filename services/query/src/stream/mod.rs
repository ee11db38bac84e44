//! Pushes the entries of conversations to sockets.
//!
//! A process tails the log once for all its sockets. A record wakes the conversation it belongs to. What is pushed is
//! the row committed for it, once the live generation has passed the record: the record itself may be a duplicate of an
//! event. Rows of all woken conversations are read with one query; Postgres is not polled while nothing happens.
//! Entries that the tail may have missed (a socket was just opened, the tail restarted) are read once the fold has
//! passed its position; each socket drops duplicates.

mod follow;
mod reply_chunks;
mod socket;
mod waiting;
mod watchers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use chrono::Utc;
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_log::Offsets;
use jangbogo_log::tail::{Seen, Tail};
use jangbogo_platform::config::Connections;
use jangbogo_read::{ReadError, Reader, Served};
use jangbogo_store as store;
use jangbogo_telemetry::SECONDS_BUCKETS;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::follow::{Follow, TOPICS, conversation_of};
use self::socket::Session;
use self::waiting::CatchUp;
use self::watchers::{Pushed, Watchers};
use crate::conversations::{self, EntryPosition, EntryRow};

/// Interval of pings to a socket.
const PING_SECONDS: u64 = 20;
/// Timeout of closing all sockets at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of a client's message, which is ignored.
const MAX_CLIENT_MESSAGE_BYTES: usize = 4096;

jangbogo_telemetry::metrics! {
    #[expect(clippy::struct_field_names, reason = "a field's name is its metric's")]
    pub struct StreamMetrics {
        /// Open WebSockets
        query_stream_sockets: IntGauge;
        /// Live pushes over WebSockets, by kind: message, intent, recommendation or piece (a chunk of a reply)
        query_stream_pushes_total: prometheus::IntCounterVec, labels ["kind"];
        /// Time from a record's append to Kafka to its push over a WebSocket, in seconds
        query_stream_push_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
        /// WebSockets closed because the client was too slow
        query_stream_overflows_total: prometheus::IntCounter;
    }
}

impl StreamMetrics {
    fn pushed(&self, pushed: &Pushed) {
        self.query_stream_pushes_total.with_label_values(&[&pushed.kind]).inc();
        let Some(appended_at) = pushed.appended_at else { return };
        // The broker's clock may be ahead.
        let seconds = (Utc::now() - appended_at).to_std().unwrap_or_default().as_secs_f64();
        self.query_stream_push_seconds.observe(seconds);
    }
}

/// The sockets of a process, and the tasks that serve them.
#[derive(Debug)]
pub struct Streams {
    reader: Arc<Reader>,
    watchers: Arc<Watchers>,
    seen: Seen,
    catch_ups: mpsc::UnboundedSender<CatchUp>,
    slots: Arc<Semaphore>,
    metrics: StreamMetrics,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A permit for one socket, which counts as open until this is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    sockets: IntGauge,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.sockets.dec();
    }
}

impl Streams {
    /// Starts following the log.
    pub fn start(
        connections: &Connections,
        reader: Arc<Reader>,
        max_sockets: usize,
        metrics: StreamMetrics,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let watchers = Arc::new(Watchers::default());
        let watched = Arc::clone(&watchers);
        let tail = Tail::start(connections, "query-tail", TOPICS.into(), move |event| {
            let conversation_id = conversation_of(event)?;
            watched.is_watched(conversation_id).then(|| event.envelope.hash())
        });
        let tail = tail.context("invalid Kafka settings")?;
        let (catch_ups, requested) = mpsc::unbounded_channel();
        let streams = Arc::new(Self {
            reader: Arc::clone(&reader),
            watchers: Arc::clone(&watchers),
            seen: tail.seen(),
            catch_ups,
            slots: Arc::new(Semaphore::new(max_sockets.min(Semaphore::MAX_PERMITS))),
            metrics,
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        let follow = Follow::new(reader, Arc::clone(&watchers), tail, requested);
        streams.tasks.spawn(follow.run(stop.clone()));
        streams.tasks.spawn(reply_chunks::forward(connections.clone(), Arc::clone(&watchers), stop.clone()));
        streams.tasks.spawn(ping(watchers, stop));
        Ok(streams)
    }

    /// A permit for one more socket; none at the limit.
    pub fn slot(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let sockets = self.metrics.query_stream_sockets.clone();
        sockets.inc();
        Some(Slot { _permit: permit, sockets })
    }

    /// Opens a socket on a conversation, after an event that the client has.
    pub fn open(
        self: &Arc<Self>,
        slot: Slot,
        upgrade: WebSocketUpgrade,
        conversation_id: Uuid,
        after: Option<String>,
    ) -> Response {
        let streams = Arc::clone(self);
        upgrade
            // Small, since each socket has its own buffers.
            .read_buffer_size(MAX_CLIENT_MESSAGE_BYTES)
            .write_buffer_size(0)
            .max_message_size(MAX_CLIENT_MESSAGE_BYTES)
            .max_frame_size(MAX_CLIENT_MESSAGE_BYTES)
            .on_upgrade(move |socket| {
                let tasks = streams.tasks.clone();
                tasks.track_future(async move {
                    let _slot = slot;
                    Session::new(streams, socket, conversation_id).run(after).await;
                })
            })
    }

    /// Positions that the tail passed without a watcher and that are not folded yet.
    async fn missed(&self) -> Result<Option<Offsets>, ReadError> {
        let passed = CatchUp { conversation_id: None, until: self.seen.offsets() };
        let served = self.served().await?;
        let mut connection = self.reader.postgres().acquire().await?;
        let folded = store::positions(&mut connection, &served.generation).await?;
        Ok((!passed.is_due(&folded)).then_some(passed.until))
    }

    async fn position_of(&self, conversation_id: Uuid, event_id: &str) -> Result<Option<EntryPosition>, ReadError> {
        let served = self.served().await?;
        Ok(conversations::position_of(self.reader.postgres(), &served, conversation_id, event_id).await?)
    }

    async fn entries(
        &self,
        conversation_id: Uuid,
        after: Option<EntryPosition>,
        limit: usize,
    ) -> Result<Vec<EntryRow>, ReadError> {
        let served = self.served().await?;
        Ok(conversations::entries(self.reader.postgres(), &served, conversation_id, after, limit).await?)
    }

    /// Read each time: another generation may be live by now, in which every entry has the same position.
    async fn served(&self) -> Result<Served, ReadError> {
        Ok(self.reader.live().await?.get(&ASSISTANT)?.clone())
    }

    /// Waits until every socket is closed, after `stop` is cancelled.
    pub async fn closed(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.tasks.wait()).await;
    }
}

/// Pings all sockets with one timer, spread over the interval.
async fn ping(watchers: Arc<Watchers>, stop: CancellationToken) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for turn in 0.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = seconds.tick() => watchers.ping(PING_SECONDS, turn),
        }
    }
}
