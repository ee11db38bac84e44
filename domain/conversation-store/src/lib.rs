//! A conversation as reactors read it: what was said, understood and recommended, the newest last.

use chrono::{DateTime, Utc};
use jangbogo_events::{IntentAnalyzed, MessageCreated, RecommendationGenerated};
use jangbogo_shared_projections::conversation::{INTENT, MESSAGE, RECOMMENDATION};
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// So many entries are read: about ten turns.
const ENTRIES: i64 = 40;

/// History of a conversation up to a snapshot.
#[derive(Debug, Default)]
pub struct Turns {
    /// Messages of both sides.
    pub messages: Vec<MessageCreated>,
    /// What the shopper's messages were understood to say.
    pub intents: Vec<IntentAnalyzed>,
    pub recommendations: Vec<RecommendationGenerated>,
}

impl Turns {
    /// The newest entries of a conversation that happened before this moment, or at it.
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
                MESSAGE => turns.messages.extend(decoded(body)),
                INTENT => turns.intents.extend(decoded(body)),
                RECOMMENDATION => turns.recommendations.extend(decoded(body)),
                _ => {}
            }
        }
        Ok(turns)
    }
}

/// What was folded was an event: only one of a later version cannot be read.
fn decoded<T: DeserializeOwned>(body: &str) -> Option<T> {
    serde_json::from_str(body).ok()
}
