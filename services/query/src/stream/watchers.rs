//! Who watches which conversation: the sockets' queues.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use events::EventHash;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::conversations::EntryRow;

/// What waits for one socket; then it is too slow.
pub(super) const QUEUE: usize = 256;
/// Events of turns that are still open may be of an older time than the newest one.
pub(super) const OVERLAP: TimeDelta = TimeDelta::minutes(5);

/// What a socket is told.
#[derive(Clone, Debug)]
pub(super) enum Push {
    /// Something happened: a committed row.
    Entry(Arc<Pushed>),
    /// A piece of an answer that is being written.
    Piece {
        /// Of which message, or to which.
        message_id: Uuid,
        /// The JSON text.
        text: Utf8Bytes,
    },
    /// Is it still there?
    Ping,
}

/// A committed row, written once for all who watch.
#[derive(Debug)]
pub(super) struct Pushed {
    /// Stands for the event.
    pub event: EventHash,
    /// Of which kind it is.
    pub kind: String,
    /// The messages whose pieces it replaces.
    pub replaces: Vec<Uuid>,
    /// The JSON text.
    pub text: Utf8Bytes,
    /// When its record was appended; not known of a row that was found by looking for it.
    pub appended_at: Option<DateTime<Utc>>,
}

impl Pushed {
    /// Of a row.
    ///
    /// # Errors
    /// Never: what was read as JSON can be written.
    pub fn of(row: &EntryRow, appended_at: Option<DateTime<Utc>>) -> serde_json::Result<Self> {
        let entry = &row.entry;
        // An answer is kept under the message that it answers; pieces may name either.
        let own = entry.data["message_id"].as_str().and_then(|id| id.parse().ok());
        let is_answer = entry.kind == projections::conversation::MESSAGE && own != Some(entry.message_id);
        let replaces = if is_answer { own.into_iter().chain([entry.message_id]).collect() } else { Vec::new() };
        let text = serde_json::to_string(entry)?.into();
        Ok(Self { event: row.event, kind: entry.kind.clone(), replaces, text, appended_at })
    }
}

/// The sockets by conversation.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    by_conversation: Mutex<HashMap<Uuid, Vec<Watcher>>>,
    drawn: AtomicU64,
}

#[derive(Debug)]
struct Watcher {
    number: u64,
    queue: mpsc::Sender<Push>,
    too_slow: CancellationToken,
    /// The event time of the newest entry it was given; none before it was given all there was.
    newest: Option<DateTime<Utc>>,
}

/// A socket's end; it watches as long as this lives.
#[derive(Debug)]
pub(super) struct Watch {
    watchers: Arc<Watchers>,
    conversation_id: Uuid,
    number: u64,
    /// What it is told.
    pub pushes: mpsc::Receiver<Push>,
    /// Cancelled when the queue was full: what came then is lost to it.
    pub too_slow: CancellationToken,
}

impl Watchers {
    /// Watches a conversation.
    pub fn watch(self: &Arc<Self>, conversation_id: Uuid) -> Watch {
        let (queue, pushes) = mpsc::channel(QUEUE);
        let (number, too_slow) = (self.drawn.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        let watcher = Watcher { number, queue, too_slow: too_slow.clone(), newest: None };
        self.map().entry(conversation_id).or_default().push(watcher);
        Watch { watchers: Arc::clone(self), conversation_id, number, pushes, too_slow }
    }

    /// Whether anybody watches a conversation.
    pub fn has(&self, conversation_id: Uuid) -> bool {
        self.map().contains_key(&conversation_id)
    }

    /// Tells everybody who watches a conversation.
    pub fn push(&self, conversation_id: Uuid, push: &Push, happened_at: Option<DateTime<Utc>>) {
        let mut map = self.map();
        let Some(watchers) = map.get_mut(&conversation_id) else { return };
        for watcher in watchers {
            match watcher.queue.try_send(push.clone()) {
                Ok(()) if watcher.newest.is_some() => watcher.newest = watcher.newest.max(happened_at),
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(_)) => watcher.too_slow.cancel(),
            }
        }
    }

    /// Asks one in so many sockets whether it is still there.
    pub fn ping(&self, one_in: u64, turn: u64) {
        for watcher in self.map().values().flatten().filter(|watcher| watcher.number % one_in == turn % one_in) {
            // One that is busy need not be asked.
            let _ = watcher.queue.try_send(Push::Ping);
        }
    }

    /// Every conversation that is watched, or those of them that are named, and since when entries may be missing from one
    /// of its sockets: none for all of it.
    pub fn since(&self, named: Option<&[Uuid]>) -> HashMap<Uuid, Option<DateTime<Utc>>> {
        let map = self.map();
        let since = |watchers: &Vec<Watcher>| {
            let oldest = watchers.iter().map(|watcher| watcher.newest).min().flatten();
            oldest.map(|newest| newest - OVERLAP)
        };
        match named {
            Some(named) => named.iter().filter_map(|id| Some((*id, since(map.get(id)?)))).collect(),
            None => map.iter().map(|(id, watchers)| (*id, since(watchers))).collect(),
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Watcher>>> {
        self.by_conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// It was given everything that was there; this was the newest of it.
    pub fn caught_up(&self, newest: Option<DateTime<Utc>>) {
        let mut map = self.watchers.map();
        let watchers = map.get_mut(&self.conversation_id).into_iter().flatten();
        for watcher in watchers.filter(|watcher| watcher.number == self.number) {
            watcher.newest = newest;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut map = self.watchers.map();
        if let Some(watchers) = map.get_mut(&self.conversation_id) {
            watchers.retain(|watcher| watcher.number != self.number);
            if watchers.is_empty() {
                map.remove(&self.conversation_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Uuid = Uuid::from_u128(1);
    const ELSEWHERE: Uuid = Uuid::from_u128(2);

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    #[test]
    fn those_who_watch_are_told_until_they_leave() {
        let watchers = Arc::new(Watchers::default());
        let (mut first, mut second) = (watchers.watch(HERE), watchers.watch(HERE));
        watchers.push(HERE, &Push::Ping, None);
        watchers.push(ELSEWHERE, &Push::Ping, None);
        assert!(first.pushes.try_recv().is_ok() && second.pushes.try_recv().is_ok());
        assert!(first.pushes.try_recv().is_err());
        drop(first);
        assert!(watchers.has(HERE));
        drop(second);
        assert!(!watchers.has(HERE));
    }

    #[test]
    fn a_slow_one_is_told_so_and_holds_nobody_up() {
        let watchers = Arc::new(Watchers::default());
        let (slow, mut quick) = (watchers.watch(HERE), watchers.watch(HERE));
        for _ in 0..QUEUE {
            watchers.push(HERE, &Push::Ping, None);
            quick.pushes.try_recv().unwrap();
        }
        assert!(!slow.too_slow.is_cancelled());
        watchers.ping(1, 0);
        assert!(!slow.too_slow.is_cancelled(), "a ping is no reason");
        quick.pushes.try_recv().unwrap();
        watchers.push(HERE, &Push::Ping, None);
        assert!(slow.too_slow.is_cancelled() && !quick.too_slow.is_cancelled());
    }

    #[test]
    fn entries_are_looked_for_since_what_the_furthest_behind_was_given() {
        let watchers = Arc::new(Watchers::default());
        let (first, second) = (watchers.watch(HERE), watchers.watch(HERE));
        let _other = watchers.watch(ELSEWHERE);
        first.caught_up(Some(at(60)));
        assert_eq!(watchers.since(None), [(HERE, None), (ELSEWHERE, None)].into(), "one is not done yet");
        second.caught_up(Some(at(70)));
        assert_eq!(watchers.since(Some(&[HERE, Uuid::nil()])), [(HERE, Some(at(55)))].into());
        watchers.push(HERE, &Push::Ping, Some(at(80)));
        assert_eq!(watchers.since(Some(&[HERE])), [(HERE, Some(at(75)))].into());
    }

    #[test]
    fn each_is_asked_in_its_turn() {
        let watchers = Arc::new(Watchers::default());
        let mut all: Vec<Watch> = (0..4).map(|_| watchers.watch(HERE)).collect();
        for turn in 0..2 {
            watchers.ping(2, turn);
        }
        assert!(all.iter_mut().all(|watch| watch.pushes.try_recv().is_ok() && watch.pushes.try_recv().is_err()));
    }
}
