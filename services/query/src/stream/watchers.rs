//! The sockets' queues, by conversation.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::EventHash;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::conversations::EntryRow;

/// Capacity of a socket's queue; a socket whose queue is full is too slow.
pub(super) const QUEUE: usize = 256;
/// An event of an open turn may be older than the newest entry by up to this.
pub(super) const OVERLAP: TimeDelta = TimeDelta::minutes(5);

/// A message for a socket.
#[derive(Clone, Debug)]
pub(super) enum Push {
    /// An entry that was committed.
    Entry(Arc<Pushed>),
    /// A chunk of a reply that is being written.
    ReplyChunk {
        /// The message that is answered.
        message_id: Uuid,
        /// The chunk as JSON.
        text: Utf8Bytes,
    },
    /// Checks that the client still answers.
    Ping,
}

/// A committed entry, serialised once for all sockets.
#[derive(Debug)]
pub(super) struct Pushed {
    pub event: EventHash,
    pub kind: String,
    /// Messages whose reply chunks it replaces.
    pub replaces: Vec<Uuid>,
    pub happened_at: DateTime<Utc>,
    /// The entry as JSON.
    pub text: Utf8Bytes,
    /// Time at which its record was appended; none for an entry found by a catch-up.
    pub appended_at: Option<DateTime<Utc>>,
}

impl Pushed {
    /// Serialises a row. Does not fail in practice: the data was read as JSON.
    pub fn from_row(row: &EntryRow, appended_at: Option<DateTime<Utc>>) -> serde_json::Result<Self> {
        let entry = &row.entry;
        // A reply is stored under the message that it answers; chunks may name either.
        let own = entry.data["message_id"].as_str().and_then(|id| id.parse().ok());
        let is_answer =
            entry.kind == jangbogo_shared_projections::conversation::MESSAGE && own != Some(entry.message_id);
        let replaces = if is_answer { own.into_iter().chain([entry.message_id]).collect() } else { Vec::new() };
        let text = serde_json::to_string(entry)?.into();
        let (kind, happened_at) = (entry.kind.clone(), entry.happened_at);
        Ok(Self { event: row.event, kind, replaces, happened_at, text, appended_at })
    }
}

#[derive(Debug, Default)]
pub(super) struct Watchers {
    by_conversation: Mutex<HashMap<Uuid, Vec<Watcher>>>,
    next_number: AtomicU64,
}

#[derive(Debug)]
struct Watcher {
    number: u64,
    queue: mpsc::Sender<Push>,
    too_slow: CancellationToken,
    /// Entries already queued for it, so that catch-ups do not fill its queue.
    queued: HashSet<EventHash>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It reads the existing entries.
    Opening {
        /// A catch-up took place meanwhile without it.
        passed_over: bool,
    },
    /// It has all existing entries.
    Following {
        /// Event time of its newest entry.
        newest: Option<DateTime<Utc>>,
    },
}

/// A socket's receiver; it watches until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    watchers: Arc<Watchers>,
    conversation_id: Uuid,
    number: u64,
    pub pushes: mpsc::Receiver<Push>,
    /// Cancelled when its queue was full and a message was lost.
    pub too_slow: CancellationToken,
}

impl Watchers {
    pub fn watch(self: &Arc<Self>, conversation_id: Uuid) -> Watch {
        let (queue, pushes) = mpsc::channel(QUEUE);
        let (number, too_slow) = (self.next_number.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        let stage = Stage::Opening { passed_over: false };
        let watcher = Watcher { number, queue, too_slow: too_slow.clone(), queued: HashSet::new(), stage };
        self.map().entry(conversation_id).or_default().push(watcher);
        Watch { watchers: Arc::clone(self), conversation_id, number, pushes, too_slow }
    }

    /// At least one socket watches the conversation.
    pub fn is_watched(&self, conversation_id: Uuid) -> bool {
        self.map().contains_key(&conversation_id)
    }

    /// Queues a message for every socket of a conversation that does not have it yet.
    pub fn push(&self, conversation_id: Uuid, push: &Push) {
        let mut map = self.map();
        for watcher in map.get_mut(&conversation_id).into_iter().flatten() {
            if let Push::Entry(pushed) = push {
                if let Stage::Following { newest } = &mut watcher.stage {
                    *newest = (*newest).max(Some(pushed.happened_at));
                }
                if !watcher.queued.insert(pushed.event) {
                    continue;
                }
            }
            if let Err(TrySendError::Full(_)) = watcher.queue.try_send(push.clone()) {
                watcher.too_slow.cancel();
            }
        }
    }

    /// Pings every `one_in`th socket, a different one each turn.
    pub fn ping(&self, one_in: u64, turn: u64) {
        for watcher in self.map().values().flatten().filter(|watcher| watcher.number % one_in == turn % one_in) {
            // A socket with a full queue needs no ping.
            let _ = watcher.queue.try_send(Push::Ping);
        }
    }

    /// The watched conversations, or the named ones among them, each with the event time since which one of its sockets
    /// may miss entries; none for all of them. A socket that still reads the existing entries is left out.
    pub fn since(&self, named: Option<&[Uuid]>) -> Vec<(Uuid, Option<DateTime<Utc>>)> {
        let mut map = self.map();
        match named {
            Some(named) => named.iter().filter_map(|id| since(*id, map.get_mut(id)?)).collect(),
            None => map.iter_mut().filter_map(|(id, watchers)| since(*id, watchers)).collect(),
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Watcher>>> {
        self.by_conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`Watchers::since`] of one conversation; none if no socket follows it yet.
fn since(conversation_id: Uuid, watchers: &mut [Watcher]) -> Option<(Uuid, Option<DateTime<Utc>>)> {
    let newest = watchers.iter_mut().filter_map(|watcher| match &mut watcher.stage {
        Stage::Following { newest } => Some(*newest),
        Stage::Opening { passed_over } => {
            *passed_over = true;
            None
        }
    });
    newest.min().map(|newest| (conversation_id, newest.map(|newest| newest - OVERLAP)))
}

impl Watch {
    /// Marks these entries as queued.
    pub fn mark_queued(&self, events: impl IntoIterator<Item = EventHash>) {
        self.with(|watcher| watcher.queued.extend(events));
    }

    /// Marks the socket as following, with the event time of its newest entry; returns whether a catch-up took place
    /// meanwhile without it.
    pub fn follows(&self, newest: Option<DateTime<Utc>>) -> bool {
        let before = self.with(|watcher| std::mem::replace(&mut watcher.stage, Stage::Following { newest }));
        before == Some(Stage::Opening { passed_over: true })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Watcher) -> T) -> Option<T> {
        let mut map = self.watchers.map();
        let watchers = map.get_mut(&self.conversation_id)?;
        watchers.iter_mut().find(|watcher| watcher.number == self.number).map(change)
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
    fn a_watcher_gets_pushes_until_it_is_dropped() {
        let watchers = Arc::new(Watchers::default());
        let (mut first, mut second) = (watchers.watch(HERE), watchers.watch(HERE));
        watchers.push(HERE, &Push::Ping);
        watchers.push(ELSEWHERE, &Push::Ping);
        assert!(first.pushes.try_recv().is_ok() && second.pushes.try_recv().is_ok());
        assert!(first.pushes.try_recv().is_err());
        drop(first);
        assert!(watchers.is_watched(HERE));
        drop(second);
        assert!(!watchers.is_watched(HERE));
    }

    #[test]
    fn a_slow_socket_is_closed_and_delays_no_other() {
        let watchers = Arc::new(Watchers::default());
        let (slow, mut quick) = (watchers.watch(HERE), watchers.watch(HERE));
        for _ in 0..QUEUE {
            watchers.push(HERE, &Push::Ping);
            quick.pushes.try_recv().unwrap();
        }
        assert!(!slow.too_slow.is_cancelled());
        watchers.ping(1, 0);
        assert!(!slow.too_slow.is_cancelled(), "a ping is no reason");
        quick.pushes.try_recv().unwrap();
        watchers.push(HERE, &Push::Ping);
        assert!(slow.too_slow.is_cancelled() && !quick.too_slow.is_cancelled());
    }

    fn entry(event: EventHash, minute: i64) -> Push {
        Push::Entry(Arc::new(Pushed {
            event,
            kind: String::new(),
            replaces: Vec::new(),
            happened_at: at(minute),
            text: Utf8Bytes::default(),
            appended_at: None,
        }))
    }

    #[test]
    fn a_catch_up_begins_at_the_newest_entry_of_the_socket_furthest_behind() {
        let watchers = Arc::new(Watchers::default());
        let (first, second) = (watchers.watch(HERE), watchers.watch(HERE));
        let other = watchers.watch(ELSEWHERE);
        assert!(!first.follows(Some(at(60))));
        assert_eq!(watchers.since(None), [(HERE, Some(at(55)))], "the others read what is there");
        assert!(second.follows(Some(at(70))), "it was passed over");
        assert!(other.follows(None));
        assert_eq!(watchers.since(Some(&[HERE, Uuid::nil()])), [(HERE, Some(at(55)))]);
        assert_eq!(watchers.since(Some(&[ELSEWHERE])), [(ELSEWHERE, None)], "all of it");
        watchers.push(HERE, &entry(1, 80));
        assert_eq!(watchers.since(Some(&[HERE])), [(HERE, Some(at(75)))]);
    }

    #[test]
    fn a_queued_entry_is_not_queued_again() {
        let watchers = Arc::new(Watchers::default());
        let mut watch = watchers.watch(HERE);
        watch.mark_queued([1]);
        for event in [1, 2, 2, 1] {
            watchers.push(HERE, &entry(event, 0));
        }
        assert!(matches!(watch.pushes.try_recv(), Ok(Push::Entry(pushed)) if pushed.event == 2));
        assert!(watch.pushes.try_recv().is_err());
    }

    #[test]
    fn each_socket_is_pinged_once_in_an_interval() {
        let watchers = Arc::new(Watchers::default());
        let mut all: Vec<Watch> = (0..4).map(|_| watchers.watch(HERE)).collect();
        for turn in 0..2 {
            watchers.ping(2, turn);
        }
        assert!(all.iter_mut().all(|watch| watch.pushes.try_recv().is_ok() && watch.pushes.try_recv().is_err()));
    }
}
