//! A shop's Postgres database: connection pool, migrations, and the classification of errors.

use std::borrow::Cow;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
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

/// Closes a pool at the end of a program, within a second: connections to a server that is unavailable must not hold it
/// up.
pub async fn close(pool: &PgPool) {
    let _ = tokio::time::timeout(Duration::from_secs(1), pool.close()).await;
}

/// Creates the database if need be and applies the migrations that are pending, all in one transaction: other sessions
/// see the schema as it was before, or the newest one, and none between two migrations.
///
/// # Errors
/// When the server is unavailable or refuses, or a migration fails.
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
            && !was_created_concurrently(&error)
        {
            return Err(error);
        }
    }
    maintenance.close().await?;
    // Hides the notice "already exists" of the migrator's CREATE TABLE IF NOT EXISTS.
    let options = options.options([("client_min_messages", "warning")]);
    let mut connection = PgConnection::connect_with(&options).await?;
    // The migrator takes this lock too, but gives it back before the transaction commits: the next migrator would not
    // see what this one has applied. A session's advisory locks are counted, so this one is held until the session
    // ends.
    connection.lock().await.map_err(migration_failed)?;
    let mut transaction = connection.begin().await?;
    // Within a transaction, the migrator's own transaction for each file is a savepoint.
    MIGRATOR.run_direct(&mut *transaction).await.map_err(migration_failed)?;
    transaction.commit().await?;
    connection.close().await
}

/// True if every migration of this program is applied. A missing or wiped database has none.
///
/// # Errors
/// When the server is unavailable or refuses.
pub async fn is_migrated(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let versions: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
    // Newer migrations do no harm: they only add what older programs do not use.
    let applied: Result<i64, _> =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success AND version = ANY ($1)")
            .bind(&versions)
            .fetch_one(pool)
            .await;
    match applied {
        Ok(applied) => Ok(usize::try_from(applied) == Ok(versions.len())),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Migrates the database if a migration of this program is pending: it is new, was wiped, or is of an older program.
///
/// # Errors
/// When the server is unavailable or refuses, or a migration fails.
pub async fn ensure_migrated(connections: &Connections, pool: &PgPool) -> Result<(), sqlx::Error> {
    if is_migrated(pool).await? {
        return Ok(());
    }
    warn!(database = connections.namespace.database(), "the database is new, wiped or outdated: migrating it");
    migrate(connections).await
}

/// True if the same statement may succeed later: the server is unavailable, starting, stopping or full, a transaction
/// was rolled back in favour of another, or the schema is of another version than this program's (see [`is_missing`]).
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => means_unavailable(&error.code().unwrap_or_default()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::TypeNotFound { .. } => true,
        _ => false,
    }
}

/// True if the database, or something that a migration or a generation creates, does not exist: it is new, was wiped,
/// or is of an older program. The programs' statements are fixed and tested, so a name that Postgres does not know is
/// not a mistake.
#[must_use]
pub fn is_missing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => means_missing(&error.code().unwrap_or_default()),
        // The client looks up the types of extensions on the server.
        sqlx::Error::TypeNotFound { .. } => true,
        _ => false,
    }
}

fn means_unavailable(code: &str) -> bool {
    let classes = [
        "08",    // connection exception
        "40",    // transaction rollback: deadlock, serialization failure
        "53",    // insufficient resources
        "57",    // operator intervention: shutdown, starting up
        "25P03", // idle in transaction: the session was ended
        "0A000", // "cached plan must not change result type": a migration has changed a column
        "55000", // object not in prerequisite state: an index that is being rebuilt
    ];
    means_missing(code) || classes.iter().any(|class| code.starts_with(class))
}

fn means_missing(code: &str) -> bool {
    matches!(
        code,
        "3D000" // database
            | "3F000" // schema
            | "42P01" // table
            | "42703" // column
            | "42704" // type, or another object
            | "42883" // function or operator
    )
}

/// True if `lock_timeout` expired.
#[must_use]
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    sqlstate(error).as_deref() == Some("55P03")
}

/// True if another process created the database concurrently.
fn was_created_concurrently(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("42P04" | "23505"))
}

fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

fn migration_failed(error: MigrateError) -> sqlx::Error {
    sqlx::Error::Migrate(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_not_the_programs_is_unavailability() {
        for code in ["3D000", "3F000", "42P01", "42703", "42704", "42883"] {
            assert!(means_missing(code) && means_unavailable(code), "{code}");
        }
        let no_type = sqlx::Error::TypeNotFound { type_name: "vector".to_owned() };
        assert!(is_missing(&no_type) && is_unavailable(&no_type));
    }

    #[test]
    fn a_server_that_cannot_answer_now_is_unavailable_and_misses_nothing() {
        for code in ["08006", "40001", "40P01", "53300", "57P01", "57P03", "25P03", "0A000", "55000"] {
            assert!(means_unavailable(code) && !means_missing(code), "{code}");
        }
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed] {
            assert!(is_unavailable(&error) && !is_missing(&error), "{error}");
        }
    }

    #[test]
    fn a_wrong_statement_or_value_is_permanent() {
        for code in ["", "22003", "23505", "28P01", "42601", "42501", "54000", "55P03", "XX000"] {
            assert!(!means_unavailable(code) && !means_missing(code), "{code}");
        }
        assert!(!is_unavailable(&sqlx::Error::RowNotFound));
    }
}
