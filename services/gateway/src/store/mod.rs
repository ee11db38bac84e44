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

/// Deadlocks end after a second (Postgres' `deadlock_timeout`), so this is several seconds' worth.
const MAX_ATTEMPTS: u32 = 5;

/// What a command says about itself besides its body.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Method and path.
    pub target: String,
    /// The correlation id of its events; those of a conversation have its id instead.
    pub request_id: String,
    /// W3C trace context, if it came with one.
    pub traceparent: Option<String>,
    /// A command of the same key is accepted once.
    pub idempotency_key: Option<String>,
}

/// The answer to an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 202.
    pub status: StatusCode,
    /// [`Accepted`], or what stands for it, as JSON.
    pub body: String,
    /// Whether it was given before, to an earlier command of the same idempotency key.
    pub replayed: bool,
    /// How many events it put into the outbox.
    pub new_events: u64,
}

/// The body of an answer to an accepted command.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Accepted {
    /// The ids of the events that are on their way, in the order of the command's items.
    pub event_ids: Vec<Uuid>,
}

/// The body of an answer to a command that opened a conversation.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConversationAccepted {
    /// The conversation, for the commands within it.
    pub conversation_id: Uuid,
    /// The id of the event that is on its way.
    pub event_ids: Vec<Uuid>,
}

/// The body of an answer to a command that said something in a conversation.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct MessageAccepted {
    /// The message, which the reply will name.
    pub message_id: Uuid,
    /// The id of the event that is on its way.
    pub event_ids: Vec<Uuid>,
}

/// Why a command was not accepted.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("the command is refused: {}", .0.detail())]
    Refused(Problem),
    #[error("postgres did not take the command")]
    Database(#[from] sqlx::Error),
    #[error("an event cannot be written as JSON")]
    Encoding(#[from] serde_json::Error),
}

/// What a decision comes to.
struct Decided {
    event_ids: Vec<Uuid>,
    /// Empty when the same command was accepted before.
    events: Vec<(Uuid, Data)>,
    created: Option<Created>,
}

/// What got its id from the gateway.
enum Created {
    Conversation(Uuid),
    Message(Uuid),
}

impl Decided {
    fn new(event_id: Uuid, data: Data) -> Self {
        Self::all(vec![(event_id, data)])
    }

    fn all(events: Vec<(Uuid, Data)>) -> Self {
        Self { event_ids: events.iter().map(|(id, _)| *id).collect(), events, created: None }
    }

    /// The same was decided before, as this event.
    fn before(event_id: Uuid) -> Self {
        Self { event_ids: vec![event_id], events: Vec::new(), created: None }
    }

    fn creating(self, created: Created) -> Self {
        Self { created: Some(created), ..self }
    }

    /// The answer's body.
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

/// Accepts a command, or says why not. `body` is what its idempotency key stands for.
///
/// # Errors
/// A refusal; 503 when Postgres is away; 500 for the unforeseen.
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
        if attempt == MAX_ATTEMPTS || !lost_a_race(&error) {
            return Err(problem_of(error, context));
        }
        debug!(request_id = context.request_id, attempt, "deadlock or serialization failure: trying again");
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
    let decided = decide(&mut transaction, command).await?;
    outbox::insert(&mut transaction, context, &decided.events).await?;
    let (body, new_events) = (decided.body()?, decided.events.len() as u64);
    let answer = Answer { status: StatusCode::ACCEPTED, body, replayed: false, new_events };
    if let Some(key) = &context.idempotency_key {
        idempotency::complete(&mut transaction, key, &answer).await?;
    }
    transaction.commit().await?;
    Ok(answer)
}

async fn decide(transaction: &mut PgConnection, command: &Command) -> Result<Decided, CommandError> {
    match command {
        Command::Record(data) => Ok(Decided::all(data.iter().map(|data| (Uuid::now_v7(), data.clone())).collect())),
        Command::CompleteOrder(order) => orders::complete_order(transaction, order).await,
        Command::CancelOrder(order_id, cancel) => orders::cancel_order(transaction, order_id, cancel).await,
        Command::RecordCancellation(cancelled) => orders::record_cancellation(transaction, cancelled).await,
        Command::CreateConversation(create) => conversations::create(transaction, create).await,
        Command::RenameConversation(id, rename) => conversations::rename(transaction, *id, rename).await,
        Command::CloseConversation(id) => conversations::close(transaction, *id).await,
        Command::PostMessage(id, post) => conversations::post_message(transaction, *id, post).await,
    }
}

fn refuse<T>(problem: Problem) -> Result<T, CommandError> {
    Err(CommandError::Refused(problem))
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Whether another transaction got in the way of this one: nothing happened, and again may go well.
fn lost_a_race(error: &CommandError) -> bool {
    let CommandError::Database(error) = error else { return false };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40P01" | "40001"))
}

fn problem_of(error: CommandError, context: &CommandContext) -> Problem {
    if let CommandError::Refused(problem) = error {
        return problem;
    }
    error!(request_id = context.request_id, target = context.target, error = %causes(&error), "command failed");
    match &error {
        CommandError::Database(database) if is_unavailable(database) || lost_a_race(&error) => {
            Problem::unavailable("postgres does not take commands now; send this one again, with its Idempotency-Key")
        }
        _ => Problem::internal(),
    }
}
