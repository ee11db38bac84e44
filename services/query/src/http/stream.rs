//! WebSocket route of a conversation's entries.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::response::Response;
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_http::problem::Problem;
use uuid::Uuid;

use super::Service;
use super::conversations::{UNKNOWN_CONVERSATION, unknown_conversation};
use super::failure::Answer;
use super::parameters::{MAX_EVENT_ID_BYTES, Parameters, Segment, conversation_id};
use crate::conversations;

/// A conversation's entries as they are committed, over a WebSocket.
///
/// Every message is JSON in a text frame. First come the existing entries: all of them, or with `after` those newer
/// than that entry. Then comes `{"kind": "live"}`, and from then on each entry once it is committed, in that order:
/// `{"event_id", "kind": "message" | "intent" | "recommendation", "happened_at", "message_id", "data"}`, as
/// `/v1/conversations/{conversation_id}/entries` has it. A socket gives each event once.
///
/// While a reply is being written, `{"kind": "piece", "attempt", "message_id", "piece"}` is the next chunk of its text.
/// Chunks of another attempt no longer count, and the message replaces them. Chunks are not stored.
///
/// **Resuming.** Connect again with `after`, the id of the last entry received. Entries of up to five minutes before it
/// may come again, since open turns may have ended meanwhile: drop the ids you have. With an unknown id all entries
/// come.
///
/// **Closing.** 1001: the service stops. 1013: the client was too slow, or the conversation cannot be read now. Connect
/// again with `after` in both cases. A ping comes every 20 seconds; the socket is closed after three unanswered ones.
/// Messages of the client are ignored.
#[utoipa::path(
    get,
    path = "/v1/conversations/{conversation_id}/stream",
    tag = "conversations",
    params(
        ("conversation_id" = Uuid, Path, description = "The conversation"),
        ("after" = Option<String>, Query, max_length = 128, description = "Event id of the client's last entry"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket from here on"),
        (status = 404, description = UNKNOWN_CONVERSATION),
        (status = 426, description = "The request does not ask for a WebSocket"),
        (status = 503, description = "Postgres is unavailable or the limit of sockets reached: see Retry-After"),
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
    let slot = slot.ok_or_else(|| Problem::unavailable("the limit of open sockets is reached; try again"))?;
    let generations = service.reader.live().await?;
    if !conversations::is_known(service.reader.postgres(), generations.get(&ASSISTANT)?, conversation_id).await? {
        return Err(unknown_conversation(conversation_id).into());
    }
    Ok(service.streams.open(slot, upgrade, conversation_id, after))
}
