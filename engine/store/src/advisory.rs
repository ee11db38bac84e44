//! Leader election and mutual exclusion by Postgres advisory locks, by name.

use sqlx::PgConnection;

/// Takes the lock of that name for the session, unless another session holds it. Returns whether it was taken.
///
/// # Errors
/// When the Postgres query fails.
pub async fn try_advisory_lock(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))").bind(name).fetch_one(connection).await
}

/// Waits for the lock of that name and holds it until the transaction ends.
pub(crate) async fn advisory_transaction_lock(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(name).execute(connection).await.map(drop)
}
