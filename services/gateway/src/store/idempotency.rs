//! A command sent twice with one `Idempotency-Key` is accepted once; the second gets the first's answer.
//!
//! Only accepted commands keep their key: a rejected one has changed nothing and is decided again.

use std::time::Duration;

use axum::http::StatusCode;
use jangbogo_http::problem::Problem;
use sqlx::{PgConnection, PgPool, Row as _};

use super::{Answer, CommandError};

const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// Claims the key for this command, or returns the answer it had. Waits while another transaction holds the key.
pub(super) async fn claim(
    transaction: &mut PgConnection,
    key: &str,
    target: &str,
    body_hash: &[u8],
) -> Result<Option<Answer>, CommandError> {
    let claimed = sqlx::query(
        "INSERT INTO idempotency_key AS known (key, request_target, request_sha256) VALUES ($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET request_target = $2, request_sha256 = $3, response_status = NULL,
             response_body = NULL, created_at = clock_timestamp()
         WHERE known.created_at < clock_timestamp() - make_interval(secs => $4)",
    )
    .bind(key)
    .bind(target)
    .bind(body_hash)
    .bind(KEY_LIFETIME.as_secs_f64())
    .execute(&mut *transaction)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let stored = sqlx::query(
        "SELECT request_target, request_sha256, response_status, response_body FROM idempotency_key WHERE key = $1",
    )
    .bind(key)
    .fetch_one(transaction)
    .await?;
    let same_request = stored.try_get::<&str, _>("request_target")? == target
        && stored.try_get::<&[u8], _>("request_sha256")? == body_hash;
    if !same_request {
        return Err(CommandError::Rejected(key_reused()));
    }
    let status: i16 = stored.try_get("response_status")?;
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    Ok(Some(Answer {
        status: status.unwrap_or(StatusCode::ACCEPTED),
        body: stored.try_get("response_body")?,
        replayed: true,
        new_events: 0,
    }))
}

/// Stores the answer under the key.
pub(super) async fn complete(transaction: &mut PgConnection, key: &str, answer: &Answer) -> Result<(), CommandError> {
    sqlx::query("UPDATE idempotency_key SET response_status = $2, response_body = $3 WHERE key = $1")
        .bind(key)
        .bind(i32::from(answer.status.as_u16()))
        .bind(&answer.body)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Deletes keys older than [`KEY_LIFETIME`]; returns their number.
pub async fn delete_expired(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let deleted =
        sqlx::query("DELETE FROM idempotency_key WHERE created_at < clock_timestamp() - make_interval(secs => $1)")
            .bind(KEY_LIFETIME.as_secs_f64())
            .execute(pool)
            .await?;
    Ok(deleted.rows_affected())
}

fn key_reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "Idempotency-Key reused",
        "this Idempotency-Key was used for another path or body in the last 24 hours; a new command needs a new key",
    )
}
