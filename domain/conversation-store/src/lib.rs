//! A conversation as reactors read it: messages, intents and recommendations, the newest last.

use chrono::{DateTime, Utc};
use jangbogo_events::{IntentAnalyzed, MessageCreated, RecommendationGenerated};
use jangbogo_shared_projections::conversation::{INTENT, MESSAGE, RECOMMENDATION};
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// Number of entries that are read: about ten turns.
const ENTRIES: i64 = 40;

/// History of a conversation up to a snapshot.
#[derive(Debug, Default)]
pub struct Turns {
    /// Messages of both sides.
    pub messages: Vec<MessageCreated>,
    pub intents: Vec<IntentAnalyzed>,
    pub recommendations: Vec<RecommendationGenerated>,
}

impl Turns {
    /// Reads the newest entries of a conversation up to `until`, inclusive.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn read(
        connection: &mut PgConnection,
        conversation_id: Uuid,
        until: DateTime<Utc>,
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT kind, body FROM conversation_entry
             WHERE conversation_id = $1 AND happened_at <= $2
             ORDER BY happened_at DESC, event DESC LIMIT $3",
        )
        .bind(conversation_id)
        .bind(until)
        .bind(ENTRIES)
        .fetch_all(connection)
        .await?;
        let mut turns = Self::default();
        for row in rows.iter().rev() {
            let body: &str = row.get("body");
            match row.get("kind") {
                MESSAGE => turns.messages.extend(decode(body)),
                INTENT => turns.intents.extend(decode(body)),
                RECOMMENDATION => turns.recommendations.extend(decode(body)),
                _ => {}
            }
        }
        Ok(turns)
    }
}

/// None for an event of a later version; all folded entries of known versions can be read.
fn decode<T: DeserializeOwned>(body: &str) -> Option<T> {
    serde_json::from_str(body).ok()
}
