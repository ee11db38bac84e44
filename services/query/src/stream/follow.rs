//! Follows the log's tail: a record wakes its conversation, and the rows committed for it are pushed.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_events::{Data, Event, EventHash, Topic};
use jangbogo_log::Offsets;
use jangbogo_log::tail::{Tail, TailEvent};
use jangbogo_read::{ReadError, Reader};
use jangbogo_resilience::retry::Backoff;
use jangbogo_store as store;
use jangbogo_telemetry::causes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::waiting::{BATCH, CatchUp, Waiting};
use super::watchers::{Push, Pushed, Watchers};
use crate::conversations;

/// Shortest and longest pause between two checks of the fold's position.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// Interval of catch-ups from a fold that lags, before it has reached their positions.
const EARLY_INTERVAL: Duration = Duration::from_secs(1);
/// Limit of pending records and catch-ups; the rest waits in Kafka.
const MAX_WAITING: usize = 10_000;
/// Timeout of one check, after which Postgres counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Topics of a conversation's events.
pub(super) const TOPICS: [Topic; 3] =
    [Topic::ConversationMessageCreated, Topic::PreferenceEvents, Topic::RecommendationEvents];

/// The conversation that an event becomes an entry of.
pub(super) fn conversation_of(event: &Event) -> Option<Uuid> {
    match &event.data {
        Data::MessageCreated(message) => Some(message.conversation_id),
        Data::IntentAnalyzed(intent) => Some(intent.conversation_id),
        Data::RecommendationGenerated(given) => Some(given.conversation_id),
        _ => None,
    }
}

/// The task of a process that reads rows for all its sockets.
pub(super) struct Follow {
    reader: Arc<Reader>,
    watchers: Arc<Watchers>,
    tail: Tail<EventHash>,
    /// Requests of sockets that may have missed entries while they were opened.
    catch_ups: mpsc::UnboundedReceiver<CatchUp>,
    /// Time of the next early catch-up, and the fold's position at the last one.
    early_at: Instant,
    early_folded: Offsets,
}

impl Follow {
    pub fn new(
        reader: Arc<Reader>,
        watchers: Arc<Watchers>,
        tail: Tail<EventHash>,
        catch_ups: mpsc::UnboundedReceiver<CatchUp>,
    ) -> Self {
        Self { reader, watchers, tail, catch_ups, early_at: Instant::now(), early_folded: Offsets::new() }
    }

    /// Pushes until `stop` is cancelled. Unavailable servers are retried.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waiting = Waiting::default();
        let backoff = || Backoff::between(PAUSES.0, PAUSES.1);
        let (mut pauses, mut check_at) = (backoff(), Instant::now());
        let mut failing = false;
        loop {
            let was_empty = waiting.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                event = self.tail.next(), if waiting.len() < MAX_WAITING => match event {
                    None => return,
                    Some(TailEvent::Appended(record)) => waiting.record(record),
                    Some(TailEvent::Began(until)) => waiting.catch_up(CatchUp { conversation_id: None, until }),
                },
                Some(catch_up) = self.catch_ups.recv() => waiting.catch_up(catch_up),
                () = tokio::time::sleep_until(check_at), if !was_empty => {
                    let pause = if self.check(&mut waiting, &mut failing).await {
                        pauses = backoff();
                        PAUSES.0
                    } else {
                        pauses.pause()
                    };
                    check_at = Instant::now() + pause;
                    continue;
                }
            }
            pauses = backoff();
            let soon = Instant::now() + PAUSES.0;
            check_at = if was_empty { soon } else { check_at.min(soon) };
        }
    }

    /// Pushes what the fold has reached; returns whether less is waiting.
    async fn check(&mut self, waiting: &mut Waiting, failing: &mut bool) -> bool {
        let pushed = tokio::time::timeout(TIMEOUT, self.push_reached(waiting)).await;
        let outcome = pushed.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
        match &outcome {
            Ok(_) if std::mem::take(failing) => info!("postgres recovered: entries of conversations are read again"),
            Ok(_) => {}
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    warn!(error = %causes(error), "entries of conversations cannot be read; retrying");
                }
            }
        }
        outcome.is_ok_and(|pushed| pushed)
    }

    /// Pushes the waiting entries that the live generation has folded; returns whether less is waiting.
    async fn push_reached(&mut self, waiting: &mut Waiting) -> Result<bool, ReadError> {
        let postgres = self.reader.postgres();
        // Read each time: another generation may be live by now, which is never behind the old one.
        let generations = self.reader.live().await?;
        let served = generations.get(&ASSISTANT)?;
        let folded = store::positions(&mut *postgres.acquire().await?, &served.generation).await?;
        let early = self.early_at <= Instant::now() && self.early_folded != folded;
        let reached = waiting.reached(&folded, early);
        if reached.is_empty() {
            return Ok(false);
        }
        let since = self.watchers.since(reached.conversations().as_deref());
        let appended_at = reached.appended_at();
        // One query, unless there are more conversations than `BATCH`.
        let mut events: Vec<EventHash> = appended_at.keys().copied().collect();
        let mut parts = since.chunks(BATCH);
        let mut part = parts.next().unwrap_or_default();
        loop {
            for row in conversations::entries_of_events(postgres, served, &events, part).await? {
                let Ok(pushed) = Pushed::from_row(&row, appended_at.get(&row.event).copied()) else { continue };
                self.watchers.push(row.conversation_id, &Push::Entry(Arc::new(pushed)));
            }
            events.clear();
            let Some(next) = parts.next() else { break };
            part = next;
        }
        // Only after everything is pushed: sockets drop duplicates.
        let waited = waiting.len();
        waiting.forget(&folded);
        if early {
            (self.early_at, self.early_folded) = (Instant::now() + EARLY_INTERVAL, folded);
        }
        Ok(waiting.len() < waited)
    }
}
