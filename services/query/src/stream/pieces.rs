//! ReplyChunks of answers that are being written, as Redis passes them on. They are kept nowhere: the message replaces them.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jangbogo_platform::config::Connections;
use jangbogo_resilience::retry::Backoff;
use jangbogo_telemetry::causes;
use redis::{RedisError, RedisResult};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::watchers::{Push, Watchers};

/// ReplyChunks of the answers in a conversation come on the channel of this name and the conversation's id.
pub const REPLY_CHANNEL: &str = "reply:";
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A piece of an answer, as it is published.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplyPiece {
    /// Which attempt to answer it is of: pieces of another one no longer count.
    attempt: serde_json::Value,
    /// Of which message, or to which.
    message_id: Uuid,
    /// The next words.
    piece: String,
}

#[derive(Serialize)]
struct Told<'a> {
    kind: &'static str,
    #[serde(flatten)]
    piece: &'a ReplyPiece,
}

/// Forwards pieces until it is told to stop. While Redis is away there are none.
pub(super) async fn forward(connections: Connections, watchers: Arc<Watchers>, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        let subscribed = || {
            backoff = Backoff::default();
            if std::mem::take(&mut failing) {
                info!("pieces of answers are forwarded again");
            }
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = subscribe(&connections, &watchers, subscribed) => outcome,
        };
        if !std::mem::replace(&mut failing, true) {
            let error = outcome.err();
            let error = error.as_ref().map(|error| causes(error).to_string());
            warn!(error, "redis is away: no pieces of answers until it is back");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = backoff.wait() => {}
        }
    }
}

/// Forwards until the connection ends.
async fn subscribe(connections: &Connections, watchers: &Watchers, subscribed: impl FnOnce()) -> RedisResult<()> {
    let prefix = connections.namespace.redis_key(REPLY_CHANNEL);
    let connect = async {
        let mut channel = redis::Client::open(connections.redis.as_str())?.get_async_pubsub().await?;
        channel.psubscribe(format!("{prefix}*")).await?;
        Ok::<_, RedisError>(channel)
    };
    let late = |_| Err(RedisError::from((redis::ErrorKind::Io, "redis is too slow")));
    let mut channel = tokio::time::timeout(CONNECT_LIMIT, connect).await.unwrap_or_else(late)?;
    subscribed();
    let mut messages = channel.on_message();
    while let Some(message) = messages.next().await {
        let conversation_id = message.get_channel_name().strip_prefix(&prefix).and_then(|id| id.parse().ok());
        let Some(conversation_id) = conversation_id.filter(|id| watchers.has(*id)) else { continue };
        match told(message.get_payload_bytes()) {
            Ok(push) => watchers.push(conversation_id, &push),
            Err(error) => debug!(%error, %conversation_id, "what was published is no piece of an answer"),
        }
    }
    Ok(())
}

fn told(payload: &[u8]) -> serde_json::Result<Push> {
    let piece: ReplyPiece = serde_json::from_slice(payload)?;
    let text = serde_json::to_string(&Told { kind: "piece", piece: &piece })?.into();
    Ok(Push::ReplyChunk { message_id: piece.message_id, text })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_piece_is_told_as_one() {
        let message_id = Uuid::from_u128(7);
        let piece = json!({ "attempt": 1, "message_id": message_id, "piece": "빨간 " });
        let Push::ReplyChunk { text, .. } = told(piece.to_string().as_bytes()).unwrap() else { panic!("no piece") };
        let expected = json!({ "kind": "piece", "attempt": 1, "message_id": message_id, "piece": "빨간 " });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert!(told(b"{}").is_err() && told(b"nonsense").is_err());
    }
}
