//! Publishes ahead of a cut-over: Redis holds the values of the next promotion beside the live ones, so that readers
//! find them at the switch and Postgres need not compute all of them at once.

use std::time::Instant;

use jangbogo_fold::{Processor, View};
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_store::Generation;
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::redis::RedisSink;
use super::round::{last_of_full_chunk, next_entries};
use super::{PublishError, REST_LIMIT, set_session_schema};

/// Writes the current value of every key in Redis for readers of the next promotion. Later changes are marked, and
/// published by the generation's publisher once it is live. Calls `on_progress` with the number of values written so
/// far. (A processor with views in Elasticsearch too has a publisher before that, which removes such marks: there these
/// values stay as of now until the full refresh after the switch.)
///
/// # Errors
/// When a server is unavailable. Readers evaluate missing values over the rows, so the cut-over may go on.
pub async fn publish_ahead(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
    promotion: Uuid,
    mut on_progress: impl FnMut(u64),
) -> Result<(), PublishError> {
    let views: Vec<&'static View> = processor.views().filter(|view| view.target.is_kept_in_redis()).collect();
    if views.is_empty() {
        return Ok(());
    }
    let redis = RedisSink::new(connections, None)?;
    let mut connection = database::options(connections, "publisher")?.connect().await?;
    set_session_schema(&mut connection, &generation.schema).await?;
    let names: Vec<&str> = views.iter().map(|view| view.name).collect();
    sqlx::query("DELETE FROM dirty WHERE view = ANY ($1)").bind(names).execute(&mut connection).await?;
    let mut written = 0;
    for view in views {
        let mut after = String::new();
        loop {
            let started = Instant::now();
            let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let entries = next_entries(&mut snapshot, generation, view, &after).await?;
            snapshot.commit().await?;
            redis.write_ahead(view, promotion, &entries).await?;
            written += entries.len() as u64;
            on_progress(written);
            let Some(last) = last_of_full_chunk(&entries) else { break };
            last.clone_into(&mut after);
            // Throttle: the live generation gets as much time as this took.
            tokio::time::sleep(started.elapsed().min(REST_LIMIT)).await;
        }
    }
    Ok(())
}
