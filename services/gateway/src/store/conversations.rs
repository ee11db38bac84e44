//! Decisions about conversations, on the gateway's own table: a projection may lag.
//!
//! Each decision locks the conversation's row first, so that no message is accepted after the close.
//!
//! That table is not in the log: a conversation that was opened before the database was wiped is still folded and read,
//! but posting to it, renaming and closing it answer 404.

use axum::http::StatusCode;
use jangbogo_events::{
    ConversationClosed, ConversationCreated, ConversationRenamed, Data, MemberId, MessageCreated, Role,
};
use jangbogo_http::problem::Problem;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CommandError, CreateConversation, Created, Decision, PostMessage, RenameConversation, reject};

/// A conversation whose row is locked.
#[derive(Debug, sqlx::FromRow)]
struct Conversation {
    member_id: String,
    title: Option<String>,
    title_event_id: Uuid,
    closing_event_id: Option<Uuid>,
}

pub(super) async fn create(
    transaction: &mut PgConnection,
    create: &CreateConversation,
) -> Result<Decision, CommandError> {
    let (conversation_id, event_id) = (Uuid::now_v7(), Uuid::now_v7());
    sqlx::query(
        "INSERT INTO decision_conversation (conversation_id, member_id, title, title_event_id)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(conversation_id)
    .bind(create.member_id.as_str())
    .bind(create.title.as_deref())
    .bind(event_id)
    .execute(transaction)
    .await?;
    let CreateConversation { member_id, title } = create.clone();
    let data = Data::from(ConversationCreated { conversation_id, member_id, title });
    Ok(Decision::new(event_id, data).creating(Created::Conversation(conversation_id)))
}

/// Setting the title that it already has creates no event.
pub(super) async fn rename(
    transaction: &mut PgConnection,
    conversation_id: Uuid,
    rename: &RenameConversation,
) -> Result<Decision, CommandError> {
    let conversation = lock(transaction, conversation_id).await?;
    if conversation.title.as_deref() == Some(&*rename.title) {
        return Ok(Decision::before(conversation.title_event_id));
    }
    let event_id = Uuid::now_v7();
    sqlx::query("UPDATE decision_conversation SET title = $2, title_event_id = $3 WHERE conversation_id = $1")
        .bind(conversation_id)
        .bind(&*rename.title)
        .bind(event_id)
        .execute(transaction)
        .await?;
    Ok(Decision::new(event_id, Data::from(ConversationRenamed { conversation_id, title: rename.title.clone() })))
}

/// Closing a closed conversation creates no event.
pub(super) async fn close(transaction: &mut PgConnection, conversation_id: Uuid) -> Result<Decision, CommandError> {
    let conversation = lock(transaction, conversation_id).await?;
    if let Some(event_id) = conversation.closing_event_id {
        return Ok(Decision::before(event_id));
    }
    let event_id = Uuid::now_v7();
    sqlx::query(
        "UPDATE decision_conversation SET closing_event_id = $2, closed_at = clock_timestamp()
         WHERE conversation_id = $1",
    )
    .bind(conversation_id)
    .bind(event_id)
    .execute(transaction)
    .await?;
    Ok(Decision::new(event_id, Data::from(ConversationClosed { conversation_id })))
}

pub(super) async fn append_message(
    transaction: &mut PgConnection,
    conversation_id: Uuid,
    post: &PostMessage,
) -> Result<Decision, CommandError> {
    let conversation = lock(transaction, conversation_id).await?;
    if let Some(event_id) = conversation.closing_event_id {
        let detail = format!(
            "conversation {conversation_id} was closed, by event {event_id}, and takes no more messages; open another \
             one with POST /v1/conversations"
        );
        return reject(Problem::new(StatusCode::CONFLICT, "conversation-closed", "Conversation closed", detail));
    }
    let undecodable = |error: jangbogo_events::InvalidValue| sqlx::Error::Decode(Box::new(error));
    let message_id = Uuid::now_v7();
    let data = Data::from(MessageCreated {
        message_id,
        conversation_id,
        member_id: MemberId::new(conversation.member_id).map_err(undecodable)?,
        role: Role::User,
        content: post.content.clone(),
        in_reply_to: None,
        recommendation_id: None,
        product_ids: Vec::new(),
        written_by: None,
    });
    Ok(Decision::new(Uuid::now_v7(), data).creating(Created::Message(message_id)))
}

async fn lock(transaction: &mut PgConnection, conversation_id: Uuid) -> Result<Conversation, CommandError> {
    let conversation = sqlx::query_as(
        "SELECT member_id, title, title_event_id, closing_event_id FROM decision_conversation
         WHERE conversation_id = $1 FOR UPDATE",
    )
    .bind(conversation_id)
    .fetch_optional(transaction)
    .await?;
    let Some(conversation) = conversation else {
        let detail = format!(
            "there is no conversation {conversation_id}; open one with POST /v1/conversations, whose answer names its id"
        );
        return reject(Problem::new(StatusCode::NOT_FOUND, "unknown-conversation", "Unknown conversation", detail));
    };
    Ok(conversation)
}
