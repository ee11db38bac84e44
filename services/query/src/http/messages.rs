//! Route of the search in a member's messages.

use axum::Json;
use axum::extract::State;
use jangbogo_es_sync_fold::ES_SYNC;
use schemars::JsonSchema;
use serde::Serialize;

use super::Service;
use super::answered_from::Snapshot;
use super::failure::Answer;
use super::parameters::{LIMIT, MAX_QUERY_BYTES, Parameters, Segment, invalid, member_id};
use crate::messages::{self, FoundMessage, FoundMessages, MessageSearch};

/// A page of results in a member's conversations.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MessageResults {
    /// The requested member.
    member_id: String,
    /// Number of matches in total.
    total: u64,
    /// Number of skipped matches.
    offset: usize,
    /// Best match first; among equals, the newest first.
    messages: Vec<FoundMessage>,
}

/// Searches a member's conversations, in Korean and English: the member's messages and the replies.
///
/// Other members' messages are never found. A message is searchable within a second.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/messages",
    tag = "conversations",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("q" = String, Query, description = "Words", min_length = 1, max_length = 512),
        ("conversation_id" = Option<Uuid>, Query, description = "Only in this conversation"),
        ("highlight" = Option<bool>, Query, description = "Adds the best passage, with the matches highlighted"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("offset" = Option<u32>, Query, maximum = 9999, description = "Messages to skip: up to 10,000 with the limit"),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/MessageResults")),
        (status = 503, description = "The search index is unavailable or being built; retry after Retry-After"),
    )
)]
pub(super) async fn messages(
    State(service): State<Service>,
    member: Segment,
    mut parameters: Parameters,
) -> Answer<Json<MessageResults>> {
    let member_id = member_id(member)?;
    let words = parameters.text("q", MAX_QUERY_BYTES)?;
    let (limit, offset) = parameters.page()?;
    let search = MessageSearch {
        member_id: member_id.clone(),
        words: words.ok_or_else(|| invalid("the parameter q is missing: the words to search for".to_owned()))?,
        conversation_id: parameters.optional("conversation_id", "a conversation's id")?,
        highlight: parameters.flag("highlight")?,
        limit,
        offset,
    };
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let served = snapshot.get_indexed(&ES_SYNC)?;
    let FoundMessages { total, messages } = messages::search(&service.reader, served, &search).await?;
    Ok(Json(MessageResults { member_id: member_id.to_string(), total, offset, messages }))
}
