//! Streams chunks of a reply over Redis pub/sub. Best effort: the persisted reply supersedes them.

use jangbogo_telemetry::causes;
use redis::{AsyncCommands as _, RedisError};
use serde::{Deserialize, Serialize};
use tracing::debug;
use uuid::Uuid;

use crate::config::{Connections, RedisDatabase};
use crate::namespace::Namespace;

/// A chunk of a reply. The field names are the wire format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyChunk {
    /// Id of the attempt at the reply: a retry starts over under another id.
    pub attempt: Uuid,
    /// Id of the message that is answered.
    pub message_id: Uuid,
    /// The text that follows the previous chunk.
    pub piece: String,
}

/// Publisher of reply chunks. Clones share a connection pool.
#[derive(Clone)]
pub struct ReplyChunks {
    redis: deadpool_redis::Pool,
    namespace: Namespace,
}

/// Prefix of a channel's name, without the namespace; the conversation's id follows.
pub const CHANNEL_PREFIX: &str = "reply:";

/// Pub/sub channel of a conversation, without the namespace.
#[must_use]
pub fn channel(conversation_id: Uuid) -> String {
    format!("{CHANNEL_PREFIX}{conversation_id}")
}

impl ReplyChunks {
    /// Connects on first use.
    ///
    /// # Errors
    /// When the Redis URL is invalid.
    pub fn new(connections: &Connections) -> Result<Self, RedisError> {
        Ok(Self { redis: connections.redis_pool(RedisDatabase::Views)?, namespace: connections.namespace.clone() })
    }

    /// Publishes a chunk. It is lost while Redis is unavailable: the client then gets the reply as a whole.
    pub async fn publish(&self, conversation_id: Uuid, chunk: &ReplyChunk) {
        let Ok(text) = serde_json::to_string(chunk) else { return };
        let channel = self.namespace.redis_key(&channel(conversation_id));
        match self.redis.get().await {
            Ok(mut connection) => {
                if let Err(error) = connection.publish::<_, _, i64>(channel, text).await {
                    debug!(error = %causes(&error), "reply chunk not published");
                }
            }
            Err(error) => debug!(error = %causes(&error), "reply chunk not published"),
        }
    }
}
