//! From the log's tail to the sockets: woken by a record, pushes what was committed.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_events::{Data, Event, EventHash, Topic};
use jangbogo_log::Offsets;
use jangbogo_log::tail::{Tail, TailEvent};
use jangbogo_read::{ReadError, Reader};
use jangbogo_store as store;
use jangbogo_telemetry::causes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::waiting::{AT_ONCE, CatchUp, Waiting};
use super::watchers::{Push, Pushed, Watchers};
use crate::conversations;

/// How long the fold is given before it is looked at, at first and at last.
const WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// A fold that is far behind is looked at so often on its way to where it was caught up with.
const EARLY_INTERVAL: Duration = Duration::from_secs(1);
/// What waits at most; the rest waits in Kafka.
const MAX_WAITING: usize = 10_000;
/// A server that stands still is as good as one that is away.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Where conversations happen.
pub(super) const TOPICS: [Topic; 3] =
    [Topic::ConversationMessageCreated, Topic::PreferenceEvents, Topic::RecommendationEvents];

/// Which conversation an event becomes an entry of.
pub(super) fn conversation_of(event: &Event) -> Option<Uuid> {
    match &event.data {
        Data::MessageCreated(message) => Some(message.conversation_id),
        Data::IntentAnalyzed(intent) => Some(intent.conversation_id),
        Data::RecommendationGenerated(given) => Some(given.conversation_id),
        _ => None,
    }
}

/// The one task of a process that reads for all its sockets.
pub(super) struct Follow {
    reader: Arc<Reader>,
    watchers: Arc<Watchers>,
    tail: Tail<EventHash>,
    /// What sockets may have missed while they were opened.
    catch_ups: mpsc::UnboundedReceiver<CatchUp>,
    /// When places that are not reached yet are looked at next, and how far the fold was the last time.
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

    /// Pushes until it is told to stop. Servers that are away are waited for.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waiting = Waiting::default();
        let (mut wait, mut look_at) = (WAIT.0, Instant::now());
        let mut failing = false;
        loop {
            let was_empty = waiting.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                told = self.tail.next(), if waiting.len() < MAX_WAITING => match told {
                    None => return,
                    Some(TailEvent::Appended(record)) => waiting.record(record),
                    Some(TailEvent::Began(until)) => waiting.catch_up(CatchUp { conversation_id: None, until }),
                },
                Some(catch_up) = self.catch_ups.recv() => waiting.catch_up(catch_up),
                () = tokio::time::sleep_until(look_at), if !was_empty => {
                    wait = self.look(&mut waiting, wait, &mut failing).await;
                    look_at = Instant::now() + wait;
                    continue;
                }
            }
            wait = WAIT.0;
            let soon = Instant::now() + wait;
            look_at = if was_empty { soon } else { look_at.min(soon) };
        }
    }

    /// Pushes what can be, and gives how long to wait before the next time.
    async fn look(&mut self, waiting: &mut Waiting, wait: Duration, failing: &mut bool) -> Duration {
        let pushed = tokio::time::timeout(TIME_LIMIT, self.push_reached(waiting)).await;
        let outcome = pushed.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
        match &outcome {
            Ok(_) if std::mem::take(failing) => info!("entries of conversations are read again"),
            Ok(_) => {}
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    warn!(error = %causes(error), "entries of conversations cannot be read; trying again");
                }
            }
        }
        if outcome.is_ok_and(|pushed| pushed) { WAIT.0 } else { (wait * 2).min(WAIT.1) }
    }

    /// Pushes what the live generation has folded of what waits, and gives whether less waits.
    async fn push_reached(&mut self, waiting: &mut Waiting) -> Result<bool, ReadError> {
        let postgres = self.reader.postgres();
        // Anew each time: another generation may be live by now, and it is no further back.
        let generations = self.reader.live().await?;
        let served = generations.of(&ASSISTANT)?;
        let folded = store::positions(&mut *postgres.acquire().await?, &served.generation).await?;
        let early = self.early_at <= Instant::now() && self.early_folded != folded;
        let reached = waiting.reached(&folded, early);
        if reached.is_empty() {
            return Ok(false);
        }
        let since = self.watchers.since(reached.conversations().as_deref());
        let appended_at = reached.appended_at();
        // All in one query, unless very many conversations are looked at.
        let mut events: Vec<EventHash> = appended_at.keys().copied().collect();
        let mut parts = since.chunks(AT_ONCE);
        let mut part = parts.next().unwrap_or_default();
        loop {
            for row in conversations::entries_of(postgres, served, &events, part).await? {
                let Ok(pushed) = Pushed::of(&row, appended_at.get(&row.event).copied()) else { continue };
                self.watchers.push(row.conversation_id, &Push::Entry(Arc::new(pushed)));
            }
            events.clear();
            let Some(next) = parts.next() else { break };
            part = next;
        }
        // Not before all is pushed: what is pushed again changes nothing.
        let waited = waiting.len();
        waiting.forget(&folded);
        if early {
            (self.early_at, self.early_folded) = (Instant::now() + EARLY_INTERVAL, folded);
        }
        Ok(waiting.len() < waited)
    }
}
