//! Open-loop load: messages at a steady rate, sent when due, independent of earlier answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::ledger::{Ledger, Message};
use super::messages;
use super::services::{Services, post};

/// Polling interval for unanswered messages.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Messages of a shop: conversations take turns.
pub struct Load<'a> {
    services: &'a Services,
    conversations: &'a [Uuid],
    ledger: &'a Ledger,
    sent: AtomicUsize,
}

pub struct LoadResult {
    pub messages: Vec<Message>,
    /// Number of unanswered messages when the last was due.
    pub behind: usize,
}

impl<'a> Load<'a> {
    pub fn new(services: &'a Services, conversations: &'a [Uuid], ledger: &'a Ledger) -> Self {
        Self { services, conversations, ledger, sent: AtomicUsize::new(0) }
    }

    /// Sends `rate` messages a second for a duration, then waits until all are answered, at most for `timeout`.
    pub async fn at(&self, rate: u32, time: Duration, timeout: Duration) -> anyhow::Result<LoadResult> {
        let interval = Duration::from_secs(1) / rate;
        let (started, started_at) = (Instant::now(), Utc::now());
        let mut posts = JoinSet::new();
        let mut due_in = Duration::ZERO;
        while due_in < time {
            tokio::time::sleep_until(started + due_in).await;
            posts.spawn(self.post_message(started_at + due_in));
            due_in += interval;
        }
        let mut ids = Vec::with_capacity(posts.len());
        while let Some(posted) = posts.try_join_next() {
            ids.push(posted??);
        }
        let behind = self.ledger.unanswered(&ids) + posts.len();
        while let Some(posted) = posts.join_next().await {
            ids.push(posted??);
        }
        let waited = Instant::now();
        while self.ledger.unanswered(&ids) > 0 {
            ensure!(
                waited.elapsed() < timeout,
                "{} of {} messages are not answered {timeout:?} after the last",
                self.ledger.unanswered(&ids),
                ids.len()
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(LoadResult { messages: self.ledger.with_ids(&ids), behind })
    }

    fn post_message(&self, due: DateTime<Utc>) -> impl Future<Output = anyhow::Result<Uuid>> + Send + use<> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let (conversation, turn) = (number % self.conversations.len(), number / self.conversations.len());
        let path = format!("/v1/conversations/{}/messages", self.conversations[conversation]);
        let body = json!({ "content": messages::message(conversation, turn) });
        let (client, gateway) = (self.services.client().clone(), self.services.gateway().to_owned());
        let ledger = self.ledger.clone();
        async move {
            let answer: Value = post(&client, &gateway, &path, &body).await?;
            let at = Utc::now();
            let id = serde_json::from_value(answer["message_id"].clone()).context("a message without an id")?;
            ledger.accepted(id, due, at);
            Ok(id)
        }
    }
}
