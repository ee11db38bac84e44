//! Conversations, and what happened in them, as the assistant folded them.
//!
//! Entries are in the order (event time, event hash): the same in every generation. A late one may land between older ones.

use chrono::{DateTime, Utc};
use jangbogo_events::EventHash;
use jangbogo_read::Served;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use utoipa::ToSchema;
use utoipa::openapi::schema::{OneOfBuilder, Ref, Schema};
use uuid::Uuid;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow, ToSchema)]
pub struct ConversationSummary {
    /// Its id.
    pub conversation_id: Uuid,
    /// Whose it is.
    pub member_id: String,
    /// What it is called now, if anything.
    pub title: Option<String>,
    /// When it was opened; null while only what was said in it is known.
    pub opened_at: Option<DateTime<Utc>>,
    /// When it was closed; null while it is open.
    pub closed_at: Option<DateTime<Utc>>,
    /// How many messages there are in it, the member's and the assistant's.
    pub messages: i64,
    /// When something happened in it last; null before anything did.
    pub newest_at: Option<DateTime<Utc>>,
}

/// Something that happened in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Entry {
    /// The event.
    pub event_id: String,
    /// `message`: something was said; `intent`: a message was understood; `recommendation`: products were ranked for it.
    #[schema(pattern = "^(message|intent|recommendation)$")]
    pub kind: String,
    /// When.
    pub happened_at: DateTime<Utc>,
    /// The member's message that it belongs to: an answer belongs to the message that it answers.
    pub message_id: Uuid,
    /// The event's data: `message-created`, `intent-analyzed` without its vector, or `recommendation-generated`.
    #[schema(schema_with = entry_data)]
    pub data: Value,
}

/// One of the contract's types, by the entry's kind.
fn entry_data() -> Schema {
    let types = ["MessageCreated", "IntentAnalyzed", "RecommendationGenerated"].map(Ref::from_schema_name);
    Schema::OneOf(types.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item).build())
}

/// A row of entries.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    /// Stands for the event.
    pub event: EventHash,
    /// Where it happened.
    pub conversation_id: Uuid,
    /// What is shown of it.
    pub entry: Entry,
}

/// An entry's place in its conversation: they are ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it happened.
    pub happened_at: DateTime<Utc>,
    /// The event.
    pub event: EventHash,
}

impl EntryRow {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { happened_at: self.entry.happened_at, event: self.event }
    }
}

const ENTRY: &str = "event, conversation_id, event_id, kind, happened_at, message_id, body";

/// What was said in a conversation, as a lateral subquery of `asked (conversation_id)`.
fn said(schema: &str) -> String {
    format!(
        "CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE kind = 'message') AS messages, max(happened_at) AS newest_at,
                    (array_agg(member_id ORDER BY happened_at, event))[1] AS member_id
             FROM {schema}.conversation_entry AS entry WHERE entry.conversation_id = asked.conversation_id
         ) AS said"
    )
}

/// A conversation; none if nothing of it is folded.
///
/// # Errors
/// When Postgres is away.
pub async fn find(postgres: &PgPool, served: &Served, id: Uuid) -> Result<Option<ConversationSummary>, sqlx::Error> {
    let schema = &served.generation.schema;
    let sql = format!(
        "SELECT conversation_id, coalesce(opened.member_id, said.member_id) AS member_id, opened.title,
                opened.opening_at AS opened_at, opened.closed_at, said.messages, said.newest_at
         FROM (SELECT $1::uuid AS conversation_id) AS asked
         LEFT JOIN {schema}.conversation AS opened USING (conversation_id)
         {}
         WHERE opened.member_id IS NOT NULL OR said.member_id IS NOT NULL",
        said(schema)
    );
    sqlx::query_as(&sql).bind(id).fetch_optional(postgres).await
}

/// Whether anything of a conversation is folded.
///
/// # Errors
/// When Postgres is away.
pub async fn is_known(postgres: &PgPool, served: &Served, id: Uuid) -> Result<bool, sqlx::Error> {
    let schema = &served.generation.schema;
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {schema}.conversation WHERE conversation_id = $1 AND member_id IS NOT NULL)
             OR EXISTS (SELECT FROM {schema}.conversation_entry WHERE conversation_id = $1)"
    );
    sqlx::query_scalar(&sql).bind(id).fetch_one(postgres).await
}

/// A member's conversations, the newest first, from the one opened before another.
///
/// # Errors
/// When Postgres is away.
pub async fn of_member(
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
        said(schema)
    );
    sqlx::query_as(&sql).bind(member_id).bind(before).bind(rows(limit)).fetch_all(postgres).await
}

/// Where the entry of an event stands in a conversation; none if it has none of that id.
///
/// # Errors
/// When Postgres is away.
pub async fn place_of(
    postgres: &PgPool,
    served: &Served,
    conversation_id: Uuid,
    event_id: &str,
) -> Result<Option<Place>, sqlx::Error> {
    // Two sources may have drawn one id: from the first, so that nothing is passed over.
    let sql = format!(
        "SELECT happened_at, event FROM {}.conversation_entry WHERE conversation_id = $1 AND event_id = $2
         ORDER BY happened_at, event LIMIT 1",
        served.generation.schema
    );
    let row = sqlx::query(&sql).bind(conversation_id).bind(event_id).fetch_optional(postgres).await?;
    Ok(row.map(|row| Place { happened_at: row.get("happened_at"), event: row.get::<Uuid, _>("event").as_u128() }))
}

/// A conversation's entries behind a place, in their order.
///
/// # Errors
/// When Postgres is away.
pub async fn entries(
    postgres: &PgPool,
    served: &Served,
    conversation_id: Uuid,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {ENTRY} FROM {}.conversation_entry
         WHERE conversation_id = $1 AND ($2::timestamptz IS NULL OR (happened_at, event) > ($2, $3))
         ORDER BY happened_at, event LIMIT $4",
        served.generation.schema
    );
    let found = sqlx::query(&sql)
        .bind(conversation_id)
        .bind(after.map(|place| place.happened_at))
        .bind(after.map(|place| Uuid::from_u128(place.event)))
        .bind(rows(limit))
        .fetch_all(postgres)
        .await?;
    found.iter().map(entry_row).collect()
}

/// The entries of these events, and those of these conversations that happened since a moment, or all, in their order. Some
/// may come twice.
///
/// # Errors
/// When Postgres is away.
pub async fn entries_of(
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
    let found = sqlx::query(&sql)
        .bind(events.iter().copied().map(Uuid::from_u128).collect::<Vec<_>>())
        .bind(conversations.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(conversations.iter().map(|(_, since)| *since).collect::<Vec<_>>())
        .fetch_all(postgres)
        .await?;
    found.iter().map(entry_row).collect()
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

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
