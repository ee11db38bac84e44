//! One command, one Postgres transaction: the decision, its events in the outbox, the idempotency key.

mod decision;
mod idempotency;
mod outbox;

use std::time::Duration;

use axum::http::StatusCode;
use events::{Data, OrderCancelled, OrderCompleted, OrderId, OrderItem};
use runtime::database::is_away;
use runtime::problem::Problem;
use runtime::telemetry::causes;
use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tracing::{debug, error};
use uuid::Uuid;

pub use idempotency::delete_expired as delete_expired_keys;

/// Deadlocks end after a second (Postgres' `deadlock_timeout`), so this is several seconds' worth.
const MAX_ATTEMPTS: u32 = 5;

/// What a command says about itself besides its body.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Method and path.
    pub target: String,
    /// The correlation id of its events.
    pub request_id: String,
    /// W3C trace context, if it came with one.
    pub traceparent: Option<String>,
    /// A command of the same key is accepted once.
    pub idempotency_key: Option<String>,
}

/// What the gateway is asked to accept.
#[derive(Clone, Debug)]
pub enum Command {
    /// Facts that need no decision.
    Record(Vec<Data>),
    /// An order, once per `order_id`.
    CompleteOrder(OrderCompleted),
    /// Units of an order taken back, no more than it has.
    CancelOrder(OrderId, CancelOrder),
    /// A cancellation as the shop states it, once per `cancellation_id`.
    RecordCancellation(OrderCancelled),
}

/// Units of an order to take back; member and currency are the order's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// The shop's number of this cancellation.
    pub cancellation_id: OrderId,
    /// What is taken back: positive quantities and totals, at most what is left of the order.
    #[schemars(length(min = 1, max = 10_000))]
    #[serde(deserialize_with = "cancelled_items")]
    pub items: Vec<OrderItem>,
}

/// The answer to an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 202.
    pub status: StatusCode,
    /// [`Accepted`] as JSON.
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
    let decided = match command {
        Command::Record(events) => record(events),
        Command::CompleteOrder(order) => decision::complete_order(&mut transaction, order).await?,
        Command::CancelOrder(order_id, cancel) => decision::cancel_order(&mut transaction, order_id, cancel).await?,
        Command::RecordCancellation(cancelled) => decision::record_cancellation(&mut transaction, cancelled).await?,
    };
    outbox::insert(&mut transaction, context, &decided.events).await?;
    let body = serde_json::to_string(&Accepted { event_ids: decided.event_ids })?;
    let answer =
        Answer { status: StatusCode::ACCEPTED, body, replayed: false, new_events: decided.events.len() as u64 };
    if let Some(key) = &context.idempotency_key {
        idempotency::complete(&mut transaction, key, &answer).await?;
    }
    transaction.commit().await?;
    Ok(answer)
}

fn record(data: &[Data]) -> Decided {
    let events: Vec<(Uuid, Data)> = data.iter().map(|data| (Uuid::now_v7(), data.clone())).collect();
    Decided { event_ids: events.iter().map(|(id, _)| *id).collect(), events }
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
        CommandError::Database(database) if is_away(database) || lost_a_race(&error) => {
            Problem::unavailable("postgres does not take commands now; send this one again, with its Idempotency-Key")
        }
        _ => Problem::internal(),
    }
}

fn cancelled_items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OrderItem>, D::Error> {
    /// As many lines as an order may have.
    const MAX_ITEMS: usize = 10_000;
    let items = Vec::<OrderItem>::deserialize(deserializer)?;
    if (1..=MAX_ITEMS).contains(&items.len()) {
        return Ok(items);
    }
    Err(de::Error::custom(format!("a cancellation must have 1 to {MAX_ITEMS} items, not {}", items.len())))
}
