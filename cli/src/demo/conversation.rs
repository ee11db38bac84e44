//! A conversation with the running shop, over HTTP and WebSocket.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::web::{Socket, Web};

/// How long a conversation may take to be known to the query service, and a message to be answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What came of one message, in the order in which it was pushed.
pub struct Turn {
    /// What was ranked.
    pub recommendation: Value,
    /// What the shop said.
    pub reply: String,
    /// From the message's acceptance to the reply's push.
    pub took: Duration,
}

impl Turn {
    /// The products that were listed.
    pub fn items(&self) -> &[Value] {
        self.recommendation["items"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// A conversation, and the socket on which it is followed.
pub struct Conversation<'a> {
    web: &'a Web,
    id: String,
    socket: Socket,
    /// The ids of the events that were pushed.
    pushed: Vec<String>,
}

impl<'a> Conversation<'a> {
    /// Opens one for a member.
    ///
    /// # Errors
    /// When gateway or query service do not accept it.
    pub async fn open(web: &'a Web, member: &str) -> anyhow::Result<Self> {
        let opened = web.post("/v1/conversations", &json!({ "member_id": member })).await?;
        let id = opened["conversation_id"].as_str().context("the conversation has no id")?.to_owned();
        let socket = web.stream(&format!("/v1/conversations/{id}/stream"), ANSWER_LIMIT).await?;
        Ok(Self { web, id, socket, pushed: Vec::new() })
    }

    /// Says something and waits for the answer.
    ///
    /// # Errors
    /// When no answer comes in time, or intent, recommendation and reply do not come once each and in that order.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<Turn> {
        let path = format!("/v1/conversations/{}/messages", self.id);
        let began = Instant::now();
        let accepted = self.web.post(&path, &json!({ "content": text })).await?;
        let message = accepted["message_id"].as_str().context("the message has no id")?;
        let mut came = Vec::new();
        while came.len() < 3 {
            let entry = tokio::time::timeout(ANSWER_LIMIT.saturating_sub(began.elapsed()), self.next())
                .await
                .with_context(|| format!("{text:?} was not answered within {ANSWER_LIMIT:?}"))??;
            let is_own = entry["kind"] == "message" && entry["data"]["role"] == "user";
            if entry["message_id"] == message && !is_own {
                came.push(entry);
            }
        }
        let took = began.elapsed();
        let kinds: Vec<&str> = came.iter().filter_map(|entry| entry["kind"].as_str()).collect();
        ensure!(kinds == ["intent", "recommendation", "message"], "{text:?} was answered by {kinds:?}");
        let [_, recommendation, mut reply] = <[Value; 3]>::try_from(came).map_err(|_| anyhow::anyhow!("three came"))?;
        let Value::String(reply) = reply["data"]["content"].take() else { bail!("the reply has no text") };
        Ok(Turn { recommendation: recommendation["data"].clone(), reply, took })
    }

    /// The next entry; pieces of a reply that is being written are passed over.
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

    /// Compares what was pushed with what can be read.
    ///
    /// # Errors
    /// When they are not the same.
    pub async fn can_be_read_afterwards(&self) -> anyhow::Result<()> {
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
