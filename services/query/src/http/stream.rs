//! What happens in a conversation, over a WebSocket.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::response::Response;
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_http::problem::Problem;
use uuid::Uuid;

use super::Service;
use super::conversations::unknown_conversation;
use super::failure::Answer;
use super::parameters::{MAX_EVENT_ID_BYTES, Parameters, Segment, conversation_id};
use crate::conversations;

/// What happens in a conversation, as it is committed: a WebSocket.
///
/// Every message is JSON in a text frame. First comes what is there: every entry, or with `after` what is newer than that
/// entry. Then comes `{"kind": "live"}`, and from then on each entry once it is committed, in that order: `{"event_id",
/// "kind": "message" | "intent" | "recommendation", "happened_at", "message_id", "data"}`, as
/// `/v1/conversations/{conversation_id}/entries` has it. A socket gives each event once.
///
/// While an answer is being written, `{"kind": "piece", "attempt", "message_id", "piece"}` is its next words; those of
/// another attempt no longer count, and the message replaces them. ReplyChunks are not kept: whoever comes later sees the message
/// alone.
///
/// **Resuming.** Connect again with `after`, the id of the last entry that came. Entries of up to five minutes before it may
/// come again, since turns that were still open may have ended meanwhile: drop the ids you have. An id that is not known
/// gives everything.
///
/// **Closing.** 1001: the service stops. 1013: the client was too slow, or the conversation cannot be read now. Connect again
/// with `after` in both cases. A ping comes every 20 seconds; who answers none of three is gone. What a client sends is
/// passed over.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/stream",
    tag = "conversations",
    params(
        ("conversation_id" = Uuid, Path, description = "The conversation"),
        ("after" = Option<String>, Query, max_length = 128, description = "The event id of the last entry the client has"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket from here on"),
        (status = 404, description = "Nothing of this conversation is folded: there is none, or it was opened a moment ago"),
        (status = 426, description = "The request does not ask for a WebSocket"),
        (status = 503, description = "There are as many sockets as may be, or Postgres is away; Retry-After says when to try again"),
    )
)]
pub(super) async fn stream(
    State(service): State<Service>,
    conversation: Segment,
    mut parameters: Parameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let conversation_id: Uuid = conversation_id(conversation)?;
    let after = parameters.text("after", MAX_EVENT_ID_BYTES)?;
    parameters.finish()?;
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("this is a WebSocket: {}", rejection.body_text());
        Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", "Upgrade required", detail)
    })?;
    let slot = service.streams.slot();
    let slot = slot.ok_or_else(|| Problem::unavailable("there are as many sockets as may be; try again"))?;
    let generations = service.reader.live().await?;
    if !conversations::is_known(service.reader.postgres(), generations.of(&ASSISTANT)?, conversation_id).await? {
        return Err(unknown_conversation(conversation_id).into());
    }
    Ok(service.streams.open(slot, upgrade, conversation_id, after))
}
