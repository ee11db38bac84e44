//! Background tasks of the dispatcher: LISTEN for inserts, and metrics of the outbox.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_telemetry::causes;
use sqlx::postgres::PgListener;
use sqlx::{PgPool, Row as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::DispatcherMetrics;

/// Channel of the outbox's trigger.
const CHANNEL: &str = "outbox";
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// Wakes the relay at each insert until `stop` is cancelled. Polling makes up for a missed notification.
pub(super) async fn listen(pool: PgPool, inserted: Arc<Notify>, stop: CancellationToken) {
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => return,
            Err(error) = notify_all(&pool, &inserted) => error,
        };
        debug!(error = %causes(&error), "LISTEN failed: the outbox is polled");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

async fn notify_all(pool: &PgPool, inserted: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.try_recv().await?;
        inserted.notify_one();
    }
}

/// Updates the gauges of the outbox until `stop` is cancelled.
pub(super) async fn measure(pool: PgPool, metrics: DispatcherMetrics, stop: CancellationToken) {
    let mut interval = tokio::time::interval(MEASURE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        match backlog(&pool).await {
            Ok((rows, oldest_seconds)) => {
                metrics.outbox_backlog_rows.set(rows);
                metrics.outbox_oldest_row_seconds.set(oldest_seconds);
            }
            Err(error) => debug!(error = %causes(&error), "outbox metrics not updated"),
        }
    }
}

async fn backlog(pool: &PgPool) -> Result<(i64, f64), sqlx::Error> {
    let row = sqlx::query(
        "SELECT count(*) AS rows,
                coalesce(extract(epoch FROM clock_timestamp() - min(inserted_at)), 0)::float8 AS oldest_seconds
         FROM outbox",
    )
    .fetch_one(pool)
    .await?;
    Ok((row.try_get("rows")?, row.try_get("oldest_seconds")?))
}
