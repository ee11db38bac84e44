//! The state of the projections that an effect works on: one snapshot of the live generation, past its input.

use std::sync::Arc;
use std::time::Duration;

use jangbogo_events::{EventHash, FoldedOffset, InvalidValue, Text};
use jangbogo_log::{Offsets, Partition};
use jangbogo_read::Served;
use jangbogo_store::{Folded, Live, Rows, positions};
use sqlx::postgres::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

/// How long another process may take to fold an input before the checkpoints are looked at, at first and at last.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// One snapshot of the live generation's rows.
#[derive(Debug)]
pub struct Snapshot {
    rows: Rows,
    position: SnapshotPosition,
}

/// Which generation, and how far it was folded: what an event says of the state that it was made from.
#[derive(Clone, Debug)]
pub struct SnapshotPosition {
    /// The generation, live under this promotion.
    pub served: Served,
    offsets: Offsets,
}

impl SnapshotPosition {
    /// How far it was folded, as events record it.
    ///
    /// # Errors
    /// Never: topics' names fit.
    pub fn offsets(&self) -> Result<Vec<FoldedOffset>, InvalidValue> {
        let offset = |(partition, next_offset): (&Partition, &i64)| {
            let topic = Text::new(partition.topic.name())?;
            Ok(FoldedOffset { topic, partition: partition.number, next_offset: *next_offset })
        };
        self.offsets.iter().map(offset).collect()
    }
}

impl Snapshot {
    /// The rows. Effects that take long are done after the snapshot was [closed](Self::close).
    pub fn rows(&mut self) -> &mut Rows {
        &mut self.rows
    }

    /// Which generation this is, and how far it is.
    #[must_use]
    pub fn position(&self) -> &SnapshotPosition {
        &self.position
    }

    /// Gives the connection back.
    #[must_use]
    pub fn close(self) -> SnapshotPosition {
        self.position
    }

    /// Whether an event is folded.
    pub(super) async fn has(&mut self, event: EventHash) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM seen WHERE event = $1)")
            .bind(Uuid::from_u128(event))
            .fetch_one(self.rows.connection())
            .await
    }
}

/// What it takes to open snapshots of a processor.
#[derive(Clone, Debug)]
pub struct SnapshotSource {
    pub pool: PgPool,
    pub live: watch::Receiver<Live>,
    pub folded: Arc<Folded>,
}

impl SnapshotSource {
    /// A moment in which the record at this offset is folded. Waits until it is.
    ///
    /// # Errors
    /// When Postgres is away.
    pub(super) async fn past(&self, partition: Partition, offset: i64) -> Result<Snapshot, sqlx::Error> {
        let mut wait = WAIT.0;
        loop {
            let was_told = self.folded.past(partition, offset, wait).await;
            wait = (wait * 2).min(WAIT.1);
            let Live { generation, promotion } = self.live.borrow().clone();
            let mut rows = Rows::begin(&self.pool, &generation).await?;
            let offsets = positions(rows.connection(), &generation).await?;
            if offsets.get(&partition).is_some_and(|next| *next > offset) {
                let served = Served { generation, promotion: Some(promotion) };
                return Ok(Snapshot { rows, position: SnapshotPosition { served, offsets } });
            }
            drop(rows);
            if was_told {
                // Of a database that was wiped since, or of another generation.
                tokio::time::sleep(WAIT.0).await;
            }
        }
    }
}
