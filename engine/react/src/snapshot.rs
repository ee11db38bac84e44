//! Read-only snapshots of the live generation, taken once an input is folded: the state that an effect works on.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_events::{EventHash, FoldedOffset, InvalidValue, Text};
use jangbogo_log::{Offsets, Partition};
use jangbogo_read::Served;
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::{FoldedOffsets, Live, Rows, positions};
use sqlx::postgres::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

/// Bounds of the interval at which checkpoints are polled while another process folds the input.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
const MAX_INTERVAL: Duration = Duration::from_millis(500);

/// One snapshot of the live generation's rows.
#[derive(Debug)]
pub struct Snapshot {
    rows: Rows,
    position: SnapshotPosition,
}

/// Generation and folded offsets of a snapshot, which events record as the state that they were made from.
#[derive(Clone, Debug)]
pub struct SnapshotPosition {
    pub served: Served,
    offsets: Offsets,
}

impl SnapshotPosition {
    /// Folded offsets as events record them.
    ///
    /// # Errors
    /// Never: names of topics are valid texts.
    pub fn offsets(&self) -> Result<Vec<FoldedOffset>, InvalidValue> {
        let offset = |(partition, next_offset): (&Partition, &i64)| {
            let topic = Text::new(partition.topic.name())?;
            Ok(FoldedOffset { topic, partition: partition.number, next_offset: *next_offset })
        };
        self.offsets.iter().map(offset).collect()
    }
}

impl Snapshot {
    /// Rows of the snapshot. Effects that take long [close](Self::close) it first, since it holds a connection.
    pub fn rows(&mut self) -> &mut Rows {
        &mut self.rows
    }

    #[must_use]
    pub fn position(&self) -> &SnapshotPosition {
        &self.position
    }

    #[must_use]
    pub fn close(self) -> SnapshotPosition {
        self.position
    }

    /// True if the event is folded.
    pub(super) async fn contains(&mut self, event: EventHash) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM seen WHERE event = $1)")
            .bind(Uuid::from_u128(event))
            .fetch_one(self.rows.connection())
            .await
    }
}

/// Opens snapshots of a processor's live generation.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    pub pool: PgPool,
    pub live: watch::Receiver<Live>,
    pub folded: Arc<FoldedOffsets>,
}

impl SnapshotSource {
    /// A snapshot in which the record at this offset is folded. Waits until it is.
    ///
    /// # Errors
    /// When a Postgres query fails.
    pub(super) async fn past(&self, partition: Partition, offset: i64) -> Result<Snapshot, sqlx::Error> {
        let mut backoff = Backoff::between(MIN_INTERVAL, MAX_INTERVAL);
        loop {
            let was_notified = self.folded.past(partition, offset, backoff.pause()).await;
            let Live { generation, promotion } = self.live.borrow().clone();
            let mut rows = Rows::begin(&self.pool, &generation).await?;
            let offsets = positions(rows.connection(), &generation).await?;
            if offsets.get(&partition).is_some_and(|next| *next > offset) {
                let served = Served { generation, promotion: Some(promotion) };
                return Ok(Snapshot { rows, position: SnapshotPosition { served, offsets } });
            }
            drop(rows);
            if was_notified {
                // The notification is of a database that was wiped since, or of another generation.
                tokio::time::sleep(MIN_INTERVAL).await;
            }
        }
    }
}
