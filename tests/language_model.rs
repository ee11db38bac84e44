//! A shop with a language model: every message gets one grounded reply, also when the model's server fails.

mod real;
mod scripted;

use std::time::Duration;

use jangbogo_test_support::chat::{ChatShop, Turn};
use jangbogo_test_support::demo_lines;
use serde_json::Value;
use uuid::Uuid;

/// Limit for a reply: busy machines and models are slow.
const REPLY_TIMEOUT: Duration = Duration::from_mins(5);
/// Model ids of template replies and of the local analyser in events.
const TEMPLATE_WRITER: &str = "local-writer-1";
const LOCAL_ANALYSER: &str = "local-analyser-1";

/// One conversation with a shop that has a language model.
struct ChatSession {
    chat: ChatShop,
    conversation: Uuid,
    messages: Vec<Uuid>,
}

impl ChatSession {
    async fn open(name: &str, variables: &[(&str, &str)]) -> Self {
        let chat = ChatShop::open(name, variables).await;
        let directory = tempfile::tempdir().unwrap();
        chat.import(&demo_lines(directory.path(), 600)).await;
        let conversation = chat.open_conversation("13085").await;
        Self { chat, conversation, messages: Vec::new() }
    }

    async fn say(&mut self, content: &str) -> Uuid {
        let message = self.chat.say(self.conversation, content).await;
        self.messages.push(message);
        message
    }

    async fn ask(&mut self, content: &str) -> Turn {
        let message = self.say(content).await;
        self.chat.wait_for_reply(self.conversation, message, REPLY_TIMEOUT).await
    }

    /// Asserts that every message has one intent, one recommendation and one reply.
    async fn assert_answered_once(&self) {
        self.chat.shop.settle().await;
        let entries = self.chat.entries(self.conversation).await;
        for message in &self.messages {
            let count = |kind: &str| {
                entries.iter().filter(|entry| entry["kind"] == kind && belongs_to(entry, *message)).count()
            };
            // The message and its reply.
            assert_eq!(
                (count("message"), count("intent"), count("recommendation")),
                (2, 1, 1),
                "{message}: {entries:#?}"
            );
        }
    }
}

fn belongs_to(entry: &Value, message: Uuid) -> bool {
    entry["message_id"].as_str() == Some(&message.to_string())
}

/// Names of the model or program that analysed a message, and of the one that wrote the reply.
fn authors(turn: &Turn) -> (&str, &str) {
    (turn.intent["analysed_by"]["model"].as_str().unwrap(), turn.reply["written_by"]["model"].as_str().unwrap())
}
