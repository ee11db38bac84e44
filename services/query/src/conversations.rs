//! Conversations and their entries, from the assistant's read model.
//!
//! Entries are ordered by (event time, event hash), the same in every generation. A late event may land between older
//! ones.

use chrono::{DateTime, Utc};
use jangbogo_events::{EventHash, IntentAnalyzed, MessageCreated, RecommendationGenerated};
use jangbogo_read::Served;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use uuid::Uuid;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow, JsonSchema)]
pub struct ConversationSummary {
    /// Id of the conversation.
    pub conversation_id: Uuid,
    /// The member who owns it.
    pub member_id: String,
    /// Its current title, if it has one.
    pub title: Option<String>,
    /// Time at which it was opened; null while only messages of it are folded.
    pub opened_at: Option<DateTime<Utc>>,
    /// Time at which it was closed; null while it is open.
    pub closed_at: Option<DateTime<Utc>>,
    /// Number of messages, the member's and the assistant's.
    pub messages: i64,
    /// Event time of its newest entry; null while it has none.
    pub newest_at: Option<DateTime<Utc>>,
}

/// An entry of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Entry {
    /// Id of the event.
    pub event_id: String,
    /// `message`: a message was posted; `intent`: it was analysed; `recommendation`: products were ranked for it.
    #[schemars(regex(pattern = "^(message|intent|recommendation)$"))]
    pub kind: String,
    /// Event time.
    pub happened_at: DateTime<Utc>,
    /// The member's message that it belongs to: a reply belongs to the message that it answers.
    pub message_id: Uuid,
    /// The event's data: `message-created`, `intent-analyzed` without its vector, or `recommendation-generated`.
    #[schemars(schema_with = "entry_data")]
    pub data: Value,
}

/// Schema of an entry's data: one of the contract's types, by the entry's kind.
fn entry_data(schemas: &mut SchemaGenerator) -> Schema {
    json_schema!({ "oneOf": [
        schemas.subschema_for::<MessageCreated>(),
        schemas.subschema_for::<IntentAnalyzed>(),
        schemas.subschema_for::<RecommendationGenerated>(),
    ] })
}

/// A row of the table of entries.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    pub event: EventHash,
    pub conversation_id: Uuid,
    /// The entry as it is served.
    pub entry: Entry,
}

/// Sort key of an entry in its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPosition {
    pub happened_at: DateTime<Utc>,
    pub event: EventHash,
}

impl EntryRow {
    pub fn position(&self) -> EntryPosition {
        EntryPosition { happened_at: self.entry.happened_at, event: self.event }
    }
}

const ENTRY: &str = "event, conversation_id, event_id, kind, happened_at, message_id, body";

/// Lateral subquery of `asked (conversation_id)` that counts a conversation's messages.
fn message_counts(schema: &str) -> String {
    format!(
        "CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE kind = 'message') AS messages, max(happened_at) AS newest_at,
                    (array_agg(member_id ORDER BY happened_at, event))[1] AS member_id
             FROM {schema}.conversation_entry AS entry WHERE entry.conversation_id = asked.conversation_id
         ) AS said"
    )
}

/// Finds a conversation; none if nothing of it is folded.
pub async fn find(postgres: &PgPool, served: &Served, id: Uuid) -> Result<Option<ConversationSummary>, sqlx::Error> {
    let schema = &served.generation.schema;
    let sql = format!(
        "SELECT conversation_id, coalesce(opened.member_id, said.member_id) AS member_id, opened.title,
                opened.opening_at AS opened_at, opened.closed_at, said.messages, said.newest_at
         FROM (SELECT $1::uuid AS conversation_id) AS asked
         LEFT JOIN {schema}.conversation AS opened USING (conversation_id)
         {}
         WHERE opened.member_id IS NOT NULL OR said.member_id IS NOT NULL",
        message_counts(schema)
    );
    sqlx::query_as(&sql).bind(id).fetch_optional(postgres).await
}

/// Returns whether anything of a conversation is folded.
pub async fn is_known(postgres: &PgPool, served: &Served, id: Uuid) -> Result<bool, sqlx::Error> {
    let schema = &served.generation.schema;
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {schema}.conversation WHERE conversation_id = $1 AND member_id IS NOT NULL)
             OR EXISTS (SELECT FROM {schema}.conversation_entry WHERE conversation_id = $1)"
    );
    sqlx::query_scalar(&sql).bind(id).fetch_one(postgres).await
}

/// Lists a member's conversations, the newest first; with `before`, those opened before that one.
pub async fn by_member(
    postgres: &PgPool,
    served: &Served,
    member_id: &str,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<ConversationSummary>, sqlx::Error> {
    let schema = &served.generation.schema;
    let sql = format!(
        "SELECT conversation_id, asked.member_id, title, opening_at AS opened_at, closed_at, messages, newest_at
         FROM (
             SELECT * FROM {schema}.conversation
             WHERE member_id = $1
               AND ($2::uuid IS NULL OR (opening_at, conversation_id) < (
                       SELECT opening_at, conversation_id FROM {schema}.conversation
                       WHERE conversation_id = $2 AND member_id = $1
                   ))
             ORDER BY opening_at DESC, conversation_id DESC LIMIT $3
         ) AS asked
         {}
         ORDER BY opening_at DESC, conversation_id DESC",
        message_counts(schema)
    );
    sqlx::query_as(&sql).bind(member_id).bind(before).bind(row_limit(limit)).fetch_all(postgres).await
}

/// Finds the position of an event's entry in a conversation; none if it has no entry of that id.
pub async fn position_of(
    postgres: &PgPool,
    served: &Served,
    conversation_id: Uuid,
    event_id: &str,
) -> Result<Option<EntryPosition>, sqlx::Error> {
    // Two sources may have drawn the same id: the first entry, so that none is skipped.
    let sql = format!(
        "SELECT happened_at, event FROM {}.conversation_entry WHERE conversation_id = $1 AND event_id = $2
         ORDER BY happened_at, event LIMIT 1",
        served.generation.schema
    );
    let row = sqlx::query(&sql).bind(conversation_id).bind(event_id).fetch_optional(postgres).await?;
    Ok(row
        .map(|row| EntryPosition { happened_at: row.get("happened_at"), event: row.get::<Uuid, _>("event").as_u128() }))
}

/// Lists a conversation's entries after a position, in order.
pub async fn entries(
    postgres: &PgPool,
    served: &Served,
    conversation_id: Uuid,
    after: Option<EntryPosition>,
    limit: usize,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {ENTRY} FROM {}.conversation_entry
         WHERE conversation_id = $1 AND ($2::timestamptz IS NULL OR (happened_at, event) > ($2, $3))
         ORDER BY happened_at, event LIMIT $4",
        served.generation.schema
    );
    let rows = sqlx::query(&sql)
        .bind(conversation_id)
        .bind(after.map(|position| position.happened_at))
        .bind(after.map(|position| Uuid::from_u128(position.event)))
        .bind(row_limit(limit))
        .fetch_all(postgres)
        .await?;
    rows.iter().map(entry_row).collect()
}

/// Lists the entries of these events, and those of these conversations since an event time, or all of them, in order.
/// There may be duplicates.
pub async fn entries_of_events(
    postgres: &PgPool,
    served: &Served,
    events: &[EventHash],
    conversations: &[(Uuid, Option<DateTime<Utc>>)],
) -> Result<Vec<EntryRow>, sqlx::Error> {
    let schema = &served.generation.schema;
    let sql = format!(
        "SELECT {ENTRY} FROM {schema}.conversation_entry WHERE event = ANY ($1)
         UNION ALL
         SELECT {ENTRY} FROM unnest($2::uuid[], $3::timestamptz[]) AS asked (conversation_id, since)
         JOIN {schema}.conversation_entry USING (conversation_id)
         WHERE asked.since IS NULL OR happened_at >= asked.since
         ORDER BY happened_at, event"
    );
    let rows = sqlx::query(&sql)
        .bind(events.iter().copied().map(Uuid::from_u128).collect::<Vec<_>>())
        .bind(conversations.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(conversations.iter().map(|(_, since)| *since).collect::<Vec<_>>())
        .fetch_all(postgres)
        .await?;
    rows.iter().map(entry_row).collect()
}

fn entry_row(row: &PgRow) -> Result<EntryRow, sqlx::Error> {
    let data = serde_json::from_str(row.get("body")).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(EntryRow {
        event: row.get::<Uuid, _>("event").as_u128(),
        conversation_id: row.get("conversation_id"),
        entry: Entry {
            event_id: row.get("event_id"),
            kind: row.get("kind"),
            happened_at: row.get("happened_at"),
            message_id: row.get("message_id"),
            data,
        },
    })
}

fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
