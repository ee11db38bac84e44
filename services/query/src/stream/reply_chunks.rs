//! Forwards the chunks of replies that are being written from Redis pub/sub to the sockets. Best effort: they are not
//! stored, and the message replaces them.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jangbogo_platform::config::Connections;
use jangbogo_platform::reply_chunks::{CHANNEL_PREFIX, ReplyChunk};
use jangbogo_resilience::retry::Backoff;
use jangbogo_telemetry::causes;
use redis::{RedisError, RedisResult};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::watchers::{Push, Watchers};

/// Timeout of the subscription.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A chunk as a socket sends it.
#[derive(Serialize)]
struct ChunkMessage<'a> {
    kind: &'static str,
    #[serde(flatten)]
    chunk: &'a ReplyChunk,
}

/// Forwards chunks until `stop` is cancelled. There are none while Redis is unavailable.
pub(super) async fn forward(connections: Connections, watchers: Arc<Watchers>, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        let subscribed = || {
            backoff = Backoff::default();
            if std::mem::take(&mut failing) {
                info!("redis recovered: reply chunks are forwarded again");
            }
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = subscribe(&connections, &watchers, subscribed) => outcome,
        };
        if !std::mem::replace(&mut failing, true) {
            let error = outcome.err();
            let error = error.as_ref().map(|error| causes(error).to_string());
            warn!(error, "redis unavailable: no reply chunks until it recovers");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = backoff.wait() => {}
        }
    }
}

/// Forwards until the connection ends.
async fn subscribe(connections: &Connections, watchers: &Watchers, subscribed: impl FnOnce()) -> RedisResult<()> {
    let prefix = connections.namespace.redis_key(CHANNEL_PREFIX);
    let connect = async {
        let mut channel = redis::Client::open(connections.redis.as_str())?.get_async_pubsub().await?;
        channel.psubscribe(format!("{prefix}*")).await?;
        Ok::<_, RedisError>(channel)
    };
    let timed_out = |_| Err(RedisError::from((redis::ErrorKind::Io, "timeout")));
    let mut channel = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(timed_out)?;
    subscribed();
    let mut messages = channel.on_message();
    while let Some(message) = messages.next().await {
        let conversation_id = message.get_channel_name().strip_prefix(&prefix).and_then(|id| id.parse().ok());
        let Some(conversation_id) = conversation_id.filter(|id| watchers.is_watched(*id)) else { continue };
        match push(message.get_payload_bytes()) {
            Ok(push) => watchers.push(conversation_id, &push),
            Err(error) => debug!(%error, %conversation_id, "invalid reply chunk"),
        }
    }
    Ok(())
}

fn push(payload: &[u8]) -> serde_json::Result<Push> {
    let chunk: ReplyChunk = serde_json::from_slice(payload)?;
    let text = serde_json::to_string(&ChunkMessage { kind: "piece", chunk: &chunk })?.into();
    Ok(Push::ReplyChunk { message_id: chunk.message_id, text })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_published_chunk_becomes_a_push() {
        let (attempt, message_id) = (Uuid::from_u128(1), Uuid::from_u128(7));
        let chunk = json!({ "attempt": attempt, "message_id": message_id, "piece": "빨간 " });
        let Push::ReplyChunk { text, .. } = push(chunk.to_string().as_bytes()).unwrap() else { panic!("no chunk") };
        let expected = json!({ "kind": "piece", "attempt": attempt, "message_id": message_id, "piece": "빨간 " });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert!(push(b"{}").is_err() && push(b"nonsense").is_err());
    }
}
