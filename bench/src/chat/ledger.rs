//! Times of each message: due, accepted, and for each stage appended to the log and pushed over the WebSocket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, Role};
use serde::Serialize;
use uuid::Uuid;

/// Stages of a message in their order; each is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Message,
    Intent,
    Recommendation,
    Reply,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Message, Self::Intent, Self::Recommendation, Self::Reply];

    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Intent => "intent",
            Self::Recommendation => "recommendation",
            Self::Reply => "reply",
        }
    }

    /// Message id and stage of an event.
    pub fn from_event(event: &Event) -> Option<(Uuid, Self)> {
        match &event.data {
            Data::MessageCreated(message) => match message.role {
                Role::User => Some((message.message_id, Self::Message)),
                Role::Ai => Some((message.in_reply_to?, Self::Reply)),
                Role::System => None,
            },
            Data::IntentAnalyzed(intent) => Some((intent.message_id, Self::Intent)),
            Data::RecommendationGenerated(generated) => Some((generated.message_id, Self::Recommendation)),
            _ => None,
        }
    }
}

/// Times of one message, all by this machine's clock.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Due time of the request.
    pub due: Option<DateTime<Utc>>,
    /// Time of the gateway's 202.
    pub accepted: Option<DateTime<Utc>>,
    /// First append of each stage to the log, in whole milliseconds.
    pub appended: [Option<DateTime<Utc>>; 4],
    /// First push of each stage over the socket.
    pub pushed: [Option<DateTime<Utc>>; 4],
    /// Number of pushes of each stage.
    pub pushes: [u32; 4],
    /// True if a language model wrote the reply.
    pub by_model: bool,
}

impl Message {
    pub fn replied(&self) -> Option<DateTime<Utc>> {
        self.pushed[Stage::Reply as usize]
    }
}

/// Messages by id. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<HashMap<Uuid, Message>>>);

impl Ledger {
    fn messages(&self) -> MutexGuard<'_, HashMap<Uuid, Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn accepted(&self, message_id: Uuid, due: DateTime<Utc>, at: DateTime<Utc>) {
        let mut messages = self.messages();
        let message = messages.entry(message_id).or_default();
        (message.due, message.accepted) = (Some(due), Some(at));
    }

    pub fn appended(&self, message_id: Uuid, stage: Stage, at: DateTime<Utc>) {
        self.messages().entry(message_id).or_default().appended[stage as usize].get_or_insert(at);
    }

    pub fn pushed(&self, message_id: Uuid, stage: Stage, by_model: bool, at: DateTime<Utc>) {
        let mut messages = self.messages();
        let message = messages.entry(message_id).or_default();
        message.pushed[stage as usize].get_or_insert(at);
        message.pushes[stage as usize] += 1;
        message.by_model |= by_model && stage == Stage::Reply;
    }

    /// The times of these messages so far.
    pub fn with_ids(&self, ids: &[Uuid]) -> Vec<Message> {
        let messages = self.messages();
        ids.iter().map(|id| messages.get(id).cloned().unwrap_or_default()).collect()
    }

    /// Number of these messages without a reply.
    pub fn unanswered(&self, ids: &[Uuid]) -> usize {
        let messages = self.messages();
        ids.iter().filter(|id| messages.get(id).is_none_or(|message| message.replied().is_none())).count()
    }

    /// Fails if a stage of a message was not pushed exactly once.
    pub fn ensure_each_once(&self) -> anyhow::Result<usize> {
        let messages = self.messages();
        for stage in Stage::ALL {
            let not_once = messages.iter().filter(|(_, message)| message.pushes[stage as usize] != 1);
            let (mut count, mut example) = (0, None);
            for (id, message) in not_once {
                count += 1;
                example.get_or_insert((id, message.pushes[stage as usize]));
            }
            let example = example.map(|(id, times)| format!("message {id}: {times} times")).unwrap_or_default();
            ensure!(
                count == 0,
                "of {} messages {count} did not have one {} over their sockets, such as {example}",
                messages.len(),
                stage.name()
            );
        }
        Ok(messages.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_answered_twice_or_never_is_found() {
        let (ledger, id, now) = (Ledger::default(), Uuid::from_u128(7), Utc::now());
        ledger.accepted(id, now, now);
        assert_eq!(ledger.unanswered(&[id]), 1);
        assert!(ledger.ensure_each_once().unwrap_err().to_string().contains("0 times"));
        for stage in Stage::ALL {
            ledger.pushed(id, stage, false, now);
        }
        assert_eq!((ledger.ensure_each_once().unwrap(), ledger.unanswered(&[id])), (1, 0));
        ledger.pushed(id, Stage::Reply, false, now);
        assert!(ledger.ensure_each_once().unwrap_err().to_string().contains("one reply"));
    }
}
