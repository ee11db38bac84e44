//! One command, one Postgres transaction: the decision, its events in the outbox, the idempotency key.

mod command;
mod conversations;
mod idempotency;
mod orders;
mod outbox;

use std::time::Duration;

use axum::http::StatusCode;
use jangbogo_events::Data;
use jangbogo_http::problem::Problem;
use jangbogo_platform::database::is_unavailable;
use jangbogo_telemetry::causes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool};
use tracing::{debug, error};
use uuid::Uuid;

pub use command::{CancelOrder, Command, CreateConversation, PostMessage, RenameConversation, RetractPreference};
pub use idempotency::delete_expired as delete_expired_keys;

/// Attempts at a transaction. Deadlocks end after a second (Postgres' `deadlock_timeout`), so these take several
/// seconds.
const MAX_ATTEMPTS: u32 = 5;

#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Method and path, which an idempotency key is bound to.
    pub target: String,
    /// Correlation id of its events; events of a conversation have the conversation's id instead.
    pub request_id: String,
    pub traceparent: Option<String>,
    /// A command of the same key is accepted once in 24 hours.
    pub idempotency_key: Option<String>,
}

/// The answer to an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// [`Accepted`], [`ConversationAccepted`] or [`MessageAccepted`], as JSON.
    pub body: String,
    /// The answer to an earlier command of the same idempotency key.
    pub replayed: bool,
    /// Number of events inserted into the outbox.
    pub new_events: u64,
}

/// The body of an answer to an accepted command.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Accepted {
    /// Ids of the accepted events, in the order of the command's items.
    pub event_ids: Vec<Uuid>,
}

/// The body of an answer to a command that opened a conversation.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConversationAccepted {
    /// Id of the conversation.
    pub conversation_id: Uuid,
    /// Id of the accepted event.
    pub event_ids: Vec<Uuid>,
}

/// The body of an answer to a command that posted a message.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct MessageAccepted {
    /// Id of the message; the reply names it as `in_reply_to`.
    pub message_id: Uuid,
    /// Id of the accepted event.
    pub event_ids: Vec<Uuid>,
}

/// Reason to reject a command, or to fail.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("command rejected: {}", .0.detail())]
    Rejected(Problem),
    #[error("postgres query failed")]
    Database(#[from] sqlx::Error),
    #[error("cannot encode an event as JSON")]
    Encoding(#[from] serde_json::Error),
}

struct Decision {
    event_ids: Vec<Uuid>,
    /// Empty when the same command was accepted before.
    events: Vec<(Uuid, Data)>,
    created: Option<Created>,
}

/// An entity whose id the gateway has drawn.
enum Created {
    Conversation(Uuid),
    Message(Uuid),
}

impl Decision {
    fn new(event_id: Uuid, data: Data) -> Self {
        Self::all(vec![(event_id, data)])
    }

    fn all(events: Vec<(Uuid, Data)>) -> Self {
        Self { event_ids: events.iter().map(|(id, _)| *id).collect(), events, created: None }
    }

    /// The same command was accepted before, as this event.
    fn before(event_id: Uuid) -> Self {
        Self { event_ids: vec![event_id], events: Vec::new(), created: None }
    }

    fn creating(self, created: Created) -> Self {
        Self { created: Some(created), ..self }
    }

    /// Body of the answer, as JSON.
    fn body(&self) -> Result<String, serde_json::Error> {
        let event_ids = self.event_ids.clone();
        match self.created {
            None => serde_json::to_string(&Accepted { event_ids }),
            Some(Created::Conversation(conversation_id)) => {
                serde_json::to_string(&ConversationAccepted { conversation_id, event_ids })
            }
            Some(Created::Message(message_id)) => serde_json::to_string(&MessageAccepted { message_id, event_ids }),
        }
    }
}

/// Decides a command and stores its events. `body` is bound to its idempotency key.
pub async fn accept(
    pool: &PgPool,
    context: &CommandContext,
    body: &[u8],
    command: &Command,
) -> Result<Answer, Problem> {
    let body_hash = sha256(body);
    let mut attempt = 1;
    loop {
        let error = match try_accept(pool, context, &body_hash, command).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if attempt == MAX_ATTEMPTS || !is_conflict(&error) {
            return Err(problem_for(error, context));
        }
        debug!(request_id = context.request_id, attempt, "deadlock or serialization failure: retrying");
        tokio::time::sleep(Duration::from_millis(10) * attempt).await;
        attempt += 1;
    }
}

async fn try_accept(
    pool: &PgPool,
    context: &CommandContext,
    body_hash: &[u8],
    command: &Command,
) -> Result<Answer, CommandError> {
    let mut transaction = pool.begin().await?;
    if let Some(key) = &context.idempotency_key
        && let Some(answer) = idempotency::claim(&mut transaction, key, &context.target, body_hash).await?
    {
        return Ok(answer);
    }
    let decision = decide(&mut transaction, command).await?;
    outbox::insert(&mut transaction, context, &decision.events).await?;
    let (body, new_events) = (decision.body()?, decision.events.len() as u64);
    let answer = Answer { status: StatusCode::ACCEPTED, body, replayed: false, new_events };
    if let Some(key) = &context.idempotency_key {
        idempotency::complete(&mut transaction, key, &answer).await?;
    }
    transaction.commit().await?;
    Ok(answer)
}

async fn decide(transaction: &mut PgConnection, command: &Command) -> Result<Decision, CommandError> {
    match command {
        Command::Record(data) => Ok(Decision::all(data.iter().map(|data| (Uuid::now_v7(), data.clone())).collect())),
        Command::CompleteOrder(order) => orders::decide_order(transaction, order).await,
        Command::CancelOrder(order_id, cancel) => orders::decide_cancellation(transaction, order_id, cancel).await,
        Command::RecordCancellation(cancelled) => orders::record(transaction, cancelled).await,
        Command::CreateConversation(create) => conversations::create(transaction, create).await,
        Command::RenameConversation(id, rename) => conversations::rename(transaction, *id, rename).await,
        Command::CloseConversation(id) => conversations::close(transaction, *id).await,
        Command::PostMessage(id, post) => conversations::append_message(transaction, *id, post).await,
    }
}

fn reject<T>(problem: Problem) -> Result<T, CommandError> {
    Err(CommandError::Rejected(problem))
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The transaction was rolled back because of a concurrent one (deadlock or serialization failure): retrying may
/// succeed.
fn is_conflict(error: &CommandError) -> bool {
    let CommandError::Database(error) = error else { return false };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40P01" | "40001"))
}

fn problem_for(error: CommandError, context: &CommandContext) -> Problem {
    if let CommandError::Rejected(problem) = error {
        return problem;
    }
    error!(request_id = context.request_id, target = context.target, error = %causes(&error), "command failed");
    match &error {
        CommandError::Database(database) if is_unavailable(database) || is_conflict(&error) => {
            Problem::unavailable("postgres is unavailable; send the command again, with its Idempotency-Key")
        }
        _ => Problem::internal(),
    }
}
