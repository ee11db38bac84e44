//! Routes of the commands about conversations and preferences.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jangbogo_events::{Data, MemberId, PreferenceRetracted};
use jangbogo_http::problem::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::request::CommandRequest;
use super::routes::execute;
use super::{Gateway, items};
use crate::store::{Command, RetractPreference};

pub(super) fn commands() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(create_conversation))
        .routes(routes!(rename_conversation))
        .routes(routes!(close_conversation))
        .routes(routes!(post_message))
        .routes(routes!(retract_preference))
}

/// Opens a conversation of a member.
///
/// The answer names its id. Each command opens another one; to send one again safely, give it an Idempotency-Key.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    tag = "conversations",
    request_body(
        content = ref("#/components/schemas/CreateConversation"),
        content_type = "application/json",
        example = json!({ "member_id": "13085", "title": "도시락 가방" }),
    ),
    responses((
        status = 202,
        body = ref("#/components/schemas/ConversationAccepted"),
        example = json!({
            "conversation_id": "01939d2e-6c00-7a10-8000-000000000001",
            "event_ids": ["01939d2e-6c01-7a10-8000-000000000003"],
        }),
    ))
)]
async fn create_conversation(State(gateway): State<Gateway>, request: CommandRequest) -> Result<Response, Problem> {
    request.only_json()?;
    let command = Command::CreateConversation(items::one(&request.body)?);
    execute(&gateway, "/v1/conversations", &request, command).await
}

/// Gives a conversation, open or closed, another title.
///
/// The title that it has already is accepted again, with the id of the event that gave it. 404 for a conversation that
/// was not opened by this gateway, or before its database was wiped.
#[utoipa::path(
    patch,
    path = "/v1/conversations/{conversation_id}",
    tag = "conversations",
    params(("conversation_id" = Uuid, Path, description = "The conversation")),
    request_body(
        content = ref("#/components/schemas/RenameConversation"),
        content_type = "application/json",
        example = json!({ "title": "Lunch bags" }),
    ),
    responses((
        status = 202,
        body = ref("#/components/schemas/Accepted"),
        example = json!({ "event_ids": ["01939d2e-6c02-7a10-8000-000000000004"] }),
    ))
)]
async fn rename_conversation(
    State(gateway): State<Gateway>,
    conversation_id: Result<Path<Uuid>, PathRejection>,
    request: CommandRequest,
) -> Result<Response, Problem> {
    let conversation_id = id_in_path(conversation_id)?;
    request.only_json()?;
    let command = Command::RenameConversation(conversation_id, items::one(&request.body)?);
    execute(&gateway, "/v1/conversations/{conversation_id}", &request, command).await
}

/// Closes a conversation: nothing more is said in it.
///
/// It takes no body, or `{}`. Closing it again is accepted again, with the id of the event that closed it. 404 as for
/// renaming.
#[utoipa::path(
    post,
    path = "/v1/conversations/{conversation_id}/closing",
    tag = "conversations",
    params(("conversation_id" = Uuid, Path, description = "The conversation")),
    responses((
        status = 202,
        body = ref("#/components/schemas/Accepted"),
        example = json!({ "event_ids": ["01939d2e-6c03-7a10-8000-000000000005"] }),
    ))
)]
async fn close_conversation(
    State(gateway): State<Gateway>,
    conversation_id: Result<Path<Uuid>, PathRejection>,
    request: CommandRequest,
) -> Result<Response, Problem> {
    let conversation_id = id_in_path(conversation_id)?;
    request.only_json()?;
    items::none(&request.body)?;
    let command = Command::CloseConversation(conversation_id);
    execute(&gateway, "/v1/conversations/{conversation_id}/closing", &request, command).await
}

/// Says something in an open conversation, as its member.
///
/// The answer names the message's id. Messages of a conversation keep the order in which they were accepted. 404 as for
/// renaming, 409 for a conversation that is closed, 422 for a message that is blank or too long.
#[utoipa::path(
    post,
    path = "/v1/conversations/{conversation_id}/messages",
    tag = "conversations",
    params(("conversation_id" = Uuid, Path, description = "The conversation")),
    request_body(
        content = ref("#/components/schemas/PostMessage"),
        content_type = "application/json",
        example = json!({ "content": "빨간색 도시락 가방 추천해줘, 3파운드 이하로, 플라스틱 말고" }),
    ),
    responses((
        status = 202,
        body = ref("#/components/schemas/MessageAccepted"),
        example = json!({
            "message_id": "01939d2e-7000-7a10-8000-000000000002",
            "event_ids": ["01939d2e-7001-7a10-8000-000000000006"],
        }),
    ))
)]
async fn post_message(
    State(gateway): State<Gateway>,
    conversation_id: Result<Path<Uuid>, PathRejection>,
    request: CommandRequest,
) -> Result<Response, Problem> {
    let conversation_id = id_in_path(conversation_id)?;
    request.only_json()?;
    let command = Command::PostMessage(conversation_id, items::one(&request.body)?);
    execute(&gateway, "/v1/conversations/{conversation_id}/messages", &request, command).await
}

/// Takes back a preference of a member: all that was learnt of it until now, or what one message said of it.
///
/// It is a fact: neither the member nor the message need exist.
#[utoipa::path(
    post,
    path = "/v1/members/{member_id}/preferences/retractions",
    tag = "preferences",
    params(("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64)),
    request_body(
        content = ref("#/components/schemas/RetractPreference"),
        content_type = "application/json",
        example = json!({ "slot": "material", "value": "plastic" }),
    ),
    responses((
        status = 202,
        body = ref("#/components/schemas/Accepted"),
        example = json!({ "event_ids": ["01939d2e-7002-7a10-8000-000000000007"] }),
    ))
)]
async fn retract_preference(
    State(gateway): State<Gateway>,
    member_id: Result<Path<String>, PathRejection>,
    request: CommandRequest,
) -> Result<Response, Problem> {
    let invalid = |detail: String| Problem::new(StatusCode::NOT_FOUND, "unknown-member", "Unknown member", detail);
    let Path(member_id) = member_id.map_err(|rejection| invalid(rejection.body_text()))?;
    let member_id = MemberId::new(member_id).map_err(|error| invalid(error.to_string()))?;
    request.only_json()?;
    let RetractPreference { slot, value, message_id } = items::one(&request.body)?;
    let command = Command::Record(vec![Data::from(PreferenceRetracted { member_id, slot, value, message_id })]);
    execute(&gateway, "/v1/members/{member_id}/preferences/retractions", &request, command).await
}

/// The conversation's id in the path; 404 when it is not a UUID.
fn id_in_path(conversation_id: Result<Path<Uuid>, PathRejection>) -> Result<Uuid, Problem> {
    let Path(conversation_id) = conversation_id.map_err(|rejection| {
        let detail = format!(
            "a conversation's id is the UUID that POST /v1/conversations answered with: {}",
            rejection.body_text()
        );
        Problem::new(StatusCode::NOT_FOUND, "unknown-conversation", "Unknown conversation", detail)
    })?;
    Ok(conversation_id)
}
