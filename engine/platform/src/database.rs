//! A shop's Postgres database.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tracing::warn;

use crate::config::Connections;

/// For so long after its last use a connection is taken to be good.
const UNTESTED: Duration = Duration::from_secs(1);

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// The database of the connections' namespace.
///
/// # Errors
/// When the URL cannot be read.
pub fn options(connections: &Connections, application: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let ef_search = connections.vector_index.ef_search;
    Ok(PgConnectOptions::from_str(&connections.postgres)?
        .database(&connections.namespace.database())
        .application_name(application)
        // A stopped process must not hold rows that others wait for.
        .options([("idle_in_transaction_session_timeout", "5s"), ("timezone", "UTC")])
        .options([("hnsw.ef_search", ef_search)])
        .disable_statement_logging())
}

/// A pool that connects when it is first used: a server that is away is met where it is needed.
///
/// # Errors
/// When the URL cannot be read.
pub fn pool(connections: &Connections, application: &str, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(5))
        // Whether it is still good is asked of a connection that has rested, not every time.
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

/// Creates the database if need be and brings it to the newest migration.
///
/// # Errors
/// When the server is away, refuses, or a migration fails.
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
    // "Exists already" is what the migrator hopes to hear.
    let options = options.options([("client_min_messages", "warning")]);
    let mut connection = PgConnection::connect_with(&options).await?;
    MIGRATOR.run_direct(&mut connection).await.map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
    connection.close().await
}

/// Migrates the database where an attempt to use it found that it is not there, or not migrated: it is new or was wiped.
///
/// # Errors
/// Any other failure of the attempt; and when the server is away, refuses, or a migration fails.
pub async fn ensure_migrated(connections: &Connections, attempt: Result<(), sqlx::Error>) -> Result<(), sqlx::Error> {
    match attempt {
        Err(error) if is_missing(&error) => {
            warn!(database = connections.namespace.database(), "the database is new or was wiped: migrating it");
            migrate(connections).await
        }
        outcome => outcome,
    }
}

/// Whether the server is away, starting, stopping or full, or has no such database yet, rather than the statement wrong.
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(error) = error {
        let code = error.code().unwrap_or_default();
        // Connection exceptions, no resources, operator intervention, a cut-off transaction, no database, no migration.
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

/// Whether the database, or the tables of its migrations, are not there: it was wiped.
#[must_use]
pub fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("3D000" | "42P01"))
}

/// Whether a lock did not come in the time that the connection gives it.
#[must_use]
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("55P03")
}

/// Whether another process created the database at the same moment.
fn lost_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42P04" | "23505"))
}
