//! A shop's Postgres database: connection pool, migrations, and the classification of errors.

use std::borrow::Cow;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tracing::warn;

use crate::config::Connections;

/// A connection idle for less than this is used without a ping.
const UNTESTED: Duration = Duration::from_secs(1);

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Connection options for the database of the namespace.
///
/// # Errors
/// When the URL is invalid.
pub fn options(connections: &Connections, application: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let ef_search = connections.vector_index.ef_search;
    Ok(PgConnectOptions::from_str(&connections.postgres)?
        .database(&connections.namespace.database())
        .application_name(application)
        // A stopped process must not hold row locks that others wait for.
        .options([("idle_in_transaction_session_timeout", "5s"), ("timezone", "UTC")])
        .options([("hnsw.ef_search", ef_search)])
        .disable_statement_logging())
}

/// A pool that connects on first use, so that an unavailable server fails the first query and not the start.
///
/// # Errors
/// When the URL is invalid.
pub fn pool(connections: &Connections, application: &str, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(5))
        // Only a connection that was idle is pinged: a ping each time costs a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for < UNTESTED {
                    return Ok(true);
                }
                Ok(connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(options(connections, application)?))
}

/// Creates the database if it does not exist, and applies pending migrations.
///
/// # Errors
/// When the server is unavailable or rejects a statement, or a migration fails.
pub async fn migrate(connections: &Connections) -> Result<(), sqlx::Error> {
    let database = connections.namespace.database();
    let options = options(connections, "migrate")?;
    let mut maintenance = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&database)
        .fetch_one(&mut maintenance)
        .await?;
    if !exists {
        // The name holds a-z, 0-9 and _ only (see Namespace), so it needs no quoting.
        let created = sqlx::query(&format!("CREATE DATABASE {database} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"))
            .execute(&mut maintenance)
            .await;
        if let Err(error) = created
            && !lost_race(&error)
        {
            return Err(error);
        }
    }
    maintenance.close().await?;
    // Hides the notice "already exists" of the migrator's CREATE TABLE IF NOT EXISTS.
    let options = options.options([("client_min_messages", "warning")]);
    let mut connection = PgConnection::connect_with(&options).await?;
    MIGRATOR.run_direct(&mut connection).await.map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
    connection.close().await
}

/// Migrates the database if an attempt to use it failed because the database or a table does not exist: it is new or
/// was wiped.
///
/// # Errors
/// Any other failure of the attempt; and as of [`migrate`].
pub async fn ensure_migrated(connections: &Connections, attempt: Result<(), sqlx::Error>) -> Result<(), sqlx::Error> {
    match attempt {
        Err(error) if is_missing(&error) => {
            warn!(database = connections.namespace.database(), "database is new or was wiped; migrating it");
            migrate(connections).await
        }
        outcome => outcome,
    }
}

/// True if the server is unreachable, starting, stopping or full, or lacks the database or a table: a retry may
/// succeed. False if the statement is wrong.
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(error) = error {
        let code = error.code().unwrap_or_default();
        // Connection exceptions, insufficient resources, operator intervention, idle-in-transaction timeout, undefined
        // database, undefined table.
        let classes = ["08", "53", "57", "25P03", "3D000", "42P01"];
        return classes.iter().any(|class| code.starts_with(class));
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// True if the database or a table does not exist: it is new or was wiped.
#[must_use]
pub fn is_missing(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("3D000" | "42P01"))
}

/// True if `lock_timeout` expired.
#[must_use]
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    sqlstate(error).as_deref() == Some("55P03")
}

/// True if another process created the database concurrently.
fn lost_race(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42P04" | "23505"))
}

fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}
