//! ReplyChunks of an answer on their way: told through Redis to whoever listens, and worth nothing once the answer is there.

use jangbogo_telemetry::causes;
use redis::{AsyncCommands as _, RedisError};
use serde::{Deserialize, Serialize};
use tracing::debug;
use uuid::Uuid;

use crate::config::{Connections, RedisDatabase};
use crate::namespace::Namespace;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyChunk {
    /// Which attempt at the answer this belongs to: one that begins anew has another.
    pub attempt: Uuid,
    /// The message that is answered.
    pub message_id: Uuid,
    /// What comes next.
    pub piece: String,
}

/// Where pieces are told.
#[derive(Clone)]
pub struct ReplyChunks {
    redis: deadpool_redis::Pool,
    namespace: Namespace,
}

/// Beginning of a channel's name, without a namespace; the conversation's id follows.
pub const CHANNEL_PREFIX: &str = "reply:";

/// The channel of a conversation's pieces, without a namespace.
#[must_use]
pub fn channel(conversation_id: Uuid) -> String {
    format!("{CHANNEL_PREFIX}{conversation_id}")
}

impl ReplyChunks {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// When Redis' address cannot be read.
    pub fn new(connections: &Connections) -> Result<Self, RedisError> {
        Ok(Self { redis: connections.redis_pool(RedisDatabase::Views)?, namespace: connections.namespace.clone() })
    }

    /// Tells a piece. With Redis away nobody hears it: the answer comes as a whole.
    pub async fn tell(&self, conversation_id: Uuid, piece: &ReplyChunk) {
        let Ok(text) = serde_json::to_string(piece) else { return };
        let channel = self.namespace.redis_key(&channel(conversation_id));
        match self.redis.get().await {
            Ok(mut connection) => {
                if let Err(error) = connection.publish::<_, _, i64>(channel, text).await {
                    debug!(error = %causes(&error), "a piece was not told");
                }
            }
            Err(error) => debug!(error = %causes(&error), "a piece was not told"),
        }
    }
}
