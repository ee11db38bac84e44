//! A conversation with the running shop, over HTTP and WebSocket.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::web::{Socket, Web};

/// Timeout until a conversation is visible in the query service, and of a message's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The pushed answer to a message.
pub struct Turn {
    pub recommendation: Value,
    pub reply: String,
    /// From the message's acceptance to the reply's push.
    pub took: Duration,
}

impl Turn {
    pub fn items(&self) -> &[Value] {
        self.recommendation["items"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// A conversation and its WebSocket.
pub struct Conversation<'a> {
    web: &'a Web,
    id: String,
    socket: Socket,
    /// Ids of the pushed events.
    pushed: Vec<String>,
}

impl<'a> Conversation<'a> {
    /// Opens a conversation of a member.
    pub async fn open(web: &'a Web, member: &str) -> anyhow::Result<Self> {
        let opened = web.post("/v1/conversations", &json!({ "member_id": member })).await?;
        let id = opened["conversation_id"].as_str().context("the conversation has no id")?.to_owned();
        let socket = web.stream(&format!("/v1/conversations/{id}/stream"), ANSWER_LIMIT).await?;
        Ok(Self { web, id, socket, pushed: Vec::new() })
    }

    /// Sends a message and waits for the answer: intent, recommendation and reply, once each and in this order.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<Turn> {
        let path = format!("/v1/conversations/{}/messages", self.id);
        let began = Instant::now();
        let accepted = self.web.post(&path, &json!({ "content": text })).await?;
        let message = accepted["message_id"].as_str().context("the message has no id")?;
        let mut answers = Vec::new();
        while answers.len() < 3 {
            let entry = tokio::time::timeout(ANSWER_LIMIT.saturating_sub(began.elapsed()), self.next())
                .await
                .with_context(|| format!("{text:?} was not answered within {ANSWER_LIMIT:?}"))??;
            let is_own = entry["kind"] == "message" && entry["data"]["role"] == "user";
            if entry["message_id"] == message && !is_own {
                answers.push(entry);
            }
        }
        let took = began.elapsed();
        let kinds: Vec<&str> = answers.iter().filter_map(|entry| entry["kind"].as_str()).collect();
        ensure!(kinds == ["intent", "recommendation", "message"], "{text:?} was answered by {kinds:?}");
        let [_, recommendation, mut reply] =
            <[Value; 3]>::try_from(answers).map_err(|_| anyhow::anyhow!("three answers"))?;
        let Value::String(reply) = reply["data"]["content"].take() else { bail!("the reply has no text") };
        Ok(Turn { recommendation: recommendation["data"].clone(), reply, took })
    }

    /// The next entry; reply chunks are skipped.
    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            let message = self.socket.next().await.context("the socket was closed")??;
            let Message::Text(text) = message else { continue };
            let entry: Value = serde_json::from_str(&text)?;
            if let Some(event) = entry["event_id"].as_str() {
                self.pushed.push(event.to_owned());
                return Ok(entry);
            }
        }
    }

    /// Fails if the pushed events differ from the persisted ones.
    pub async fn check_persisted(&self) -> anyhow::Result<()> {
        let page = self.web.get(&format!("/v1/conversations/{}/entries?limit=100", self.id)).await?;
        let entries = page["entries"].as_array().context("there are no entries")?;
        let mut read: Vec<&str> = entries.iter().filter_map(|entry| entry["event_id"].as_str()).collect();
        let mut pushed: Vec<&str> = self.pushed.iter().map(String::as_str).collect();
        read.sort_unstable();
        pushed.sort_unstable();
        ensure!(read == pushed, "{} events were pushed, but {} can be read", pushed.len(), read.len());
        Ok(())
    }
}
