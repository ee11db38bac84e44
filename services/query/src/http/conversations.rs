//! Routes of conversations and their entries.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_http::problem::Problem;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::Service;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{LIMIT, MAX_EVENT_ID_BYTES, Parameters, Segment, conversation_id, invalid, member_id};
use crate::conversations::{self, ConversationSummary, Entry};

/// Description of the 404 of a conversation.
pub(super) const UNKNOWN_CONVERSATION: &str =
    "Nothing of this conversation is folded: it does not exist, or was opened just now";

/// A page of a conversation's entries.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EntryPage {
    /// The requested conversation.
    conversation_id: Uuid,
    /// Oldest first; those of the same time by their events' hashes.
    entries: Vec<Entry>,
    /// Value of `after` for the next page; null when there are no more for now.
    next: Option<String>,
}

/// A page of a member's conversations.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MemberConversations {
    /// The requested member.
    member_id: String,
    /// The one opened last first.
    conversations: Vec<ConversationSummary>,
    /// Value of `before` for the next page; null when there are no more.
    next: Option<Uuid>,
}

/// A conversation: its member, title, and number of messages.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}",
    tag = "conversations",
    params(
        ("conversation_id" = Uuid, Path, description = "The conversation"),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/ConversationSummary")),
        (status = 404, description = UNKNOWN_CONVERSATION),
    )
)]
pub(super) async fn conversation(
    State(service): State<Service>,
    conversation: Segment,
    parameters: Parameters,
) -> Answer<Json<ConversationSummary>> {
    let conversation_id = conversation_id(conversation)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let found = conversations::find(service.reader.postgres(), snapshot.get(&ASSISTANT)?, conversation_id).await?;
    Ok(Json(found.ok_or_else(|| unknown_conversation(conversation_id))?))
}

/// Entries of a conversation: messages, their analysis, and recommendations.
///
/// A late event may land before the last entry that was read: `/v1/conversations/{conversation_id}/stream` misses none.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/entries",
    tag = "conversations",
    params(
        ("conversation_id" = Uuid, Path, description = "The conversation"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("after" = Option<String>, Query, max_length = 128, description = "Only entries after the one of this event"),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/EntryPage")),
        (status = 404, description = UNKNOWN_CONVERSATION),
    )
)]
pub(super) async fn entries(
    State(service): State<Service>,
    conversation: Segment,
    mut parameters: Parameters,
) -> Answer<Json<EntryPage>> {
    let conversation_id = conversation_id(conversation)?;
    let limit = parameters.limit()?;
    let after = parameters.text("after", MAX_EVENT_ID_BYTES)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let (postgres, served) = (service.reader.postgres(), snapshot.get(&ASSISTANT)?);
    let position = match &after {
        Some(event_id) => conversations::position_of(postgres, served, conversation_id, event_id).await?,
        None => None,
    };
    let is_known = position.is_some() || conversations::is_known(postgres, served, conversation_id).await?;
    if !is_known {
        return Err(unknown_conversation(conversation_id).into());
    }
    if let (Some(event_id), None) = (after, position) {
        let detail = format!("the parameter after: no entry of this conversation is of the event {event_id:?}");
        return Err(invalid(detail).into());
    }
    let mut rows = conversations::entries(postgres, served, conversation_id, position, limit + 1).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|row| row.entry.event_id.clone());
    let entries = rows.into_iter().map(|row| row.entry).collect();
    Ok(Json(EntryPage { conversation_id, entries, next }))
}

/// A member's conversations.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/conversations",
    tag = "conversations",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("before" = Option<Uuid>, Query, description = "Only those opened before this one of the member's"),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/MemberConversations")),
        (status = 404, description = "The member has opened no conversation"),
    )
)]
pub(super) async fn of_member(
    State(service): State<Service>,
    member: Segment,
    mut parameters: Parameters,
) -> Answer<Json<MemberConversations>> {
    let member_id = member_id(member)?;
    let limit = parameters.limit()?;
    let before = parameters.optional::<Uuid>("before", "a conversation's id")?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let (postgres, served) = (service.reader.postgres(), snapshot.get(&ASSISTANT)?);
    let mut conversations = conversations::by_member(postgres, served, &member_id, before, limit + 1).await?;
    if conversations.is_empty() && before.is_none() {
        let detail = format!("no conversation of the member {member_id} is known");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-conversations", "No conversations", detail).into());
    }
    let has_more = conversations.len() > limit;
    conversations.truncate(limit);
    let next = conversations.last().filter(|_| has_more).map(|conversation| conversation.conversation_id);
    Ok(Json(MemberConversations { member_id: member_id.to_string(), conversations, next }))
}

pub(super) fn unknown_conversation(conversation_id: Uuid) -> Problem {
    let detail =
        format!("there is no conversation {conversation_id}; one that was opened just now appears within a second");
    Problem::new(StatusCode::NOT_FOUND, "unknown-conversation", "Unknown conversation", detail)
}
