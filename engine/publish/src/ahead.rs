//! Publishing ahead of a cut-over: Redis holds the values of the promotion to come beside those of the live one, so that
//! readers find them at the moment of the switch and Postgres need not compute all of them at once.

use std::time::Instant;

use jangbogo_fold::{Processor, View};
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_store::Generation;
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::redis::RedisSink;
use super::round::{last_of_full, next_entries};
use super::{PublishError, REST_LIMIT, set_session_schema};

/// Writes every value in Redis as the rows have it now, for readers of a promotion that is to come. What changes from
/// then on is marked and published by the generation's publisher once it is live. Tells how many values were written so
/// far. (A processor with views in Elasticsearch too has a publisher before that, which takes such marks away: there these
/// values are as of now until the sweep that follows the switch.)
///
/// # Errors
/// When a server is away. Readers evaluate over the rows whatever is not in Redis, so the cut-over may go on.
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
            let Some(last) = last_of_full(&entries) else { break };
            last.clone_into(&mut after);
            // The live generation has the processor for as long as this took.
            tokio::time::sleep(started.elapsed().min(REST_LIMIT)).await;
        }
    }
    Ok(())
}
